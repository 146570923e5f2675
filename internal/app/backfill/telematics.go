package backfill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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
			w.listed = false
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
	if !w.listed {
		if err := w.listContainers(ctx); err != nil {
			return "", err
		}
		w.listed = true
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
const createTries = 4

// createContainer makes a container, with fewer keys where BMW does not take
// them all.
func (w *worker) createContainer(ctx context.Context, want *container) (string, error) {
	keys := make([]schema.Descriptor, len(want.keys))
	for i, k := range want.keys {
		keys[i] = schema.Descriptor(k)
	}
	for try := 1; ; try++ {
		w.tell(fmt.Sprintf("container %s with %d keys", want.name, len(keys)))
		made, err := call(ctx, w, func(ctx context.Context) (rest.Container, error) {
			return w.api.CreateContainer(ctx, want.name, want.purpose(), keys)
		})
		if err == nil {
			w.st.Containers[want.name] = containerState{ID: made.ID, Version: want.version, Keys: len(keys)}
			return made.ID, w.disk.saveState(w.st)
		}
		fewer, ok := fewerKeys(keys, err)
		if !ok || try == createTries {
			return "", err
		}
		w.log.Warn("container is refused, it is tried with fewer keys", "keys", len(keys), "next_keys", len(fewer), "err", err)
		keys = fewer
	}
}

// fewerKeys gives the keys to try after a refusal: without those that BMW
// names, else the more useful half.
func fewerKeys(keys []schema.Descriptor, err error) ([]schema.Descriptor, bool) {
	e, ok := errors.AsType[*rest.Error](err)
	if !ok {
		return nil, false
	}
	switch e.Kind {
	case rest.KindUnknownKey:
		words := strings.FieldsFunc(e.Message+" "+e.Note, func(r rune) bool {
			return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '_')
		})
		named := func(k schema.Descriptor) bool {
			return slices.ContainsFunc(words, func(w string) bool { return strings.TrimRight(w, ".") == string(k) })
		}
		if rest := slices.DeleteFunc(slices.Clone(keys), named); len(rest) < len(keys) && len(rest) > 0 {
			return rest, true
		}
	case rest.KindTooManyKeys:
	default:
		return nil, false
	}
	const least = 8
	if len(keys) <= least {
		return nil, false
	}
	return keys[:len(keys)/2], true
}
