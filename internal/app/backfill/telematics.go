package backfill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// telematics fetches the latest values by one of our containers, which is
// looked up or made first where needed.
func (w *worker) telematics(ctx context.Context, vin schema.VIN, name string) error {
	for second := false; ; second = true {
		id, err := w.container(ctx, name)
		if err != nil {
			w.broken[name] = true // once is enough in a run
			return err
		}
		body, err := call(ctx, w, func(ctx context.Context) ([]byte, error) { return w.api.Telematic(ctx, vin, id) })
		if e, ok := errors.AsType[*rest.Error](err); ok && e.Kind == rest.KindContainerGone && !second {
			w.log.Warn("container is gone, it was deleted elsewhere; it is made anew", "container_id", id)
			delete(w.st.Containers, name)
			w.st.Listed = time.Time{}
			continue
		}
		if err != nil {
			return err
		}
		return w.take(ctx, &entry{
			Kind: KindTelematics, VIN: vin, Source: schema.SourceREST, Fetched: moment(), Container: name, Body: body,
		})
	}
}

// container gives the id of one of our containers. Listing costs a call, so
// the id is kept.
func (w *worker) container(ctx context.Context, name string) (string, error) {
	at := slices.IndexFunc(w.b.wanted, func(c container) bool { return c.name == name })
	if at < 0 {
		return "", fmt.Errorf("BUG: no container is called %s", name)
	}
	want := &w.b.wanted[at]
	if have, ok := w.st.Containers[name]; ok && have.Version == want.version {
		return have.ID, nil
	}
	if w.st.listDue(w.horizon) {
		if err := w.listContainers(ctx); err != nil {
			return "", err
		}
		if have, ok := w.st.Containers[name]; ok {
			return have.ID, nil
		}
	}
	return w.createContainer(ctx, want)
}

// listContainers finds ours by name and purpose and deletes those of ours that
// serve no more. Others' are never touched.
func (w *worker) listContainers(ctx context.Context) error {
	w.tell("containers of the account")
	list, err := call(ctx, w, w.api.Containers)
	if err != nil {
		return err
	}
	clear(w.st.Containers)
	w.st.Listed, w.st.Creating = moment(), ""
	var obsolete []rest.Container
	for _, c := range list {
		if !c.Active() || !strings.HasPrefix(c.Name, containerPrefix) {
			continue
		}
		at := slices.IndexFunc(w.b.wanted, func(want container) bool { return want.name == c.Name && want.purpose() == c.Purpose })
		if _, twice := w.st.Containers[c.Name]; at < 0 || twice {
			obsolete = append(obsolete, c)
			continue
		}
		w.st.Containers[c.Name] = containerState{ID: c.ID, Version: w.b.wanted[at].version, Keys: len(c.Descriptors)}
	}
	if err := w.disk.saveState(w.st); err != nil {
		return err
	}
	for _, c := range obsolete {
		w.log.Info("own container is obsolete, it is deleted", "container_id", c.ID)
		_, err := call(ctx, w, func(ctx context.Context) (struct{}, error) { return struct{}{}, w.api.DeleteContainer(ctx, c.ID) })
		e, refused := errors.AsType[*rest.Error](err)
		if err != nil && (!refused || e.Kind == rest.KindTransient || e.Kind == rest.KindAuth || e.Kind == rest.KindScope) {
			return err
		}
		if err != nil {
			w.log.Warn("own container could not be deleted, it does no harm", "container_id", c.ID, "err", err)
		}
	}
	return nil
}

// createTries bounds the calls that finding out which keys BMW takes may cost.
const createTries = 6

// createContainer makes a container, with fewer keys where BMW does not take
// them all.
func (w *worker) createContainer(ctx context.Context, want *container) (string, error) {
	w.st.Creating = want.name // until it is known what came of it
	if err := w.disk.saveState(w.st); err != nil {
		return "", err
	}
	lists := [][]schema.Descriptor{want.keys} // to be tried, in this order
	for try := 1; ; try++ {
		keys := lists[0]
		w.tell(fmt.Sprintf("container %s with %d keys", want.name, len(keys)))
		made, err := call(ctx, w, func(ctx context.Context) (rest.Container, error) {
			return w.api.CreateContainer(ctx, want.name, want.purpose(), keys)
		})
		if err == nil {
			w.st.Containers[want.name] = containerState{ID: made.ID, Version: want.version, Keys: len(keys)}
			w.st.Creating = ""
			return made.ID, w.disk.saveState(w.st)
		}
		lists = append(lists[1:], fewerKeys(keys, err)...)
		if len(lists) == 0 || try == createTries || !keysRefused(err) {
			if ctx.Err() == nil && !mayExist(err) {
				w.st.Creating = ""
				err = errors.Join(err, w.disk.saveState(w.st))
			}
			return "", err
		}
		w.log.Warn("container is refused, it is tried with fewer keys", "keys", len(keys), "next_keys", len(lists[0]), "err", err)
	}
}

// mayExist tells whether a creation that failed may have been done all the same.
func mayExist(err error) bool {
	e, ok := errors.AsType[*rest.Error](err)
	if !ok {
		return true
	}
	switch e.Kind {
	case rest.KindTransient, rest.KindServer, rest.KindProtocol:
		return true
	default:
		return false
	}
}

func keysRefused(err error) bool {
	e, ok := errors.AsType[*rest.Error](err)
	return ok && (e.Kind == rest.KindUnknownKey || e.Kind == rest.KindTooManyKeys)
}

// fewerKeys gives the lists to try after a refusal of keys: without those that
// BMW names; else the more useful half, and where a key is unknown the other half
// too, since it is in one of them.
func fewerKeys(keys []schema.Descriptor, err error) [][]schema.Descriptor {
	const least = 8
	e, ok := errors.AsType[*rest.Error](err)
	if !ok || len(keys) <= least {
		return nil
	}
	half := len(keys) / 2
	switch e.Kind {
	case rest.KindUnknownKey:
		said := strings.FieldsFunc(e.Message+" "+e.Note, notDescriptor)
		rest := slices.DeleteFunc(slices.Clone(keys), func(k schema.Descriptor) bool {
			return slices.ContainsFunc(said, func(word string) bool { return strings.TrimRight(word, ".") == string(k) })
		})
		if len(rest) < len(keys) && len(rest) > 0 {
			return [][]schema.Descriptor{rest}
		}
		return [][]schema.Descriptor{keys[:half], keys[half:]}
	case rest.KindTooManyKeys:
		return [][]schema.Descriptor{keys[:half]}
	default:
		return nil
	}
}

func notDescriptor(r rune) bool {
	return ('a' > r || r > 'z') && ('A' > r || r > 'Z') && ('0' > r || r > '9') && r != '.' && r != '_'
}
