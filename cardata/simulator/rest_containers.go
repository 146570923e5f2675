package simulator

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const (
	containerLimit  = 10
	containerIDLen  = 13
	defaultMaxKeys  = 200
	deletedFor      = 29 * 24 * time.Hour // how long a deleted container stays in the list
	stateActive     = "ACTIVE"
	stateDeleted    = "DELETED"
	largestPostBody = 1 << 20
)

// Container is a named list of descriptors, used by telematicData alone
// (CarData API, section "Endpoints").
type Container struct {
	ID      string              `json:"id"` // 13 characters
	Name    string              `json:"name"`
	Purpose string              `json:"purpose"`
	State   string              `json:"state"` // ACTIVE or DELETED
	Created time.Time           `json:"created"`
	Deleted time.Time           `json:"deleted,omitzero"` // zero while active
	Keys    []schema.Descriptor `json:"keys"`
}

// containerBody is a container on the wire; the list is without descriptors.
type containerBody struct {
	ID      string              `json:"containerId"`
	Name    string              `json:"name"`
	Purpose string              `json:"purpose"`
	State   string              `json:"state"`
	Created string              `json:"created"`
	Keys    []schema.Descriptor `json:"technicalDescriptors,omitempty"`
}

func (b *Container) body(withKeys bool) containerBody {
	out := containerBody{ID: b.ID, Name: b.Name, Purpose: b.Purpose, State: b.State, Created: isoMillis(b.Created)}
	if withKeys {
		out.Keys = b.Keys
	}
	return out
}

func (c *call) listContainers() *restError {
	list := []containerBody{}
	for _, b := range c.s.Containers(c.account.GCID) {
		if b.State == stateActive || !c.faults.RESTStrict {
			list = append(list, b.body(false))
		}
	}
	c.json(http.StatusOK, map[string]any{"containers": list})
	return nil
}

func (c *call) getContainer() *restError {
	b, fail := c.container(c.r.PathValue("containerId"))
	if fail != nil {
		return fail
	}
	c.json(http.StatusOK, b.body(true))
	return nil
}

// container finds an active container of the account.
func (c *call) container(id string) (*Container, *restError) {
	if !containerForm(id) {
		return nil, refusal(http.StatusBadRequest, "CU-121", "Format of parameter containerId is invalid")
	}
	all := c.s.store.get(c.account.GCID).Containers
	i := slices.IndexFunc(all, func(b Container) bool { return b.ID == id && b.State == stateActive })
	if i < 0 {
		status := http.StatusForbidden
		if c.faults.ContainerGone404 {
			status = http.StatusNotFound
		}
		return nil, refusal(status, "CU-105", "The container does not exist or belongs to another user")
	}
	return &all[i], nil
}

// containerForm tells whether an id has 13 upper-case letters and digits.
func containerForm(id string) bool {
	return len(id) == containerIDLen && strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

type createRequest struct {
	Name    string              `json:"name"`
	Purpose string              `json:"purpose"`
	Keys    []schema.Descriptor `json:"technicalDescriptors"`
}

func (c *call) createContainer() *restError {
	var q createRequest
	err := json.NewDecoder(http.MaxBytesReader(c.w, c.r.Body, largestPostBody)).Decode(&q)
	if err != nil || q.Name == "" || q.Purpose == "" || len(q.Keys) == 0 {
		return refusal(http.StatusBadRequest, "CU-400", "Bad request: name, purpose and technicalDescriptors are required")
	}
	for _, k := range q.Keys {
		if !c.api.knows(k) {
			return refusal(http.StatusBadRequest, "CU-402", "At least one technical descriptor is unknown")
		}
	}
	most := c.faults.MaxKeys
	if most == 0 {
		most = defaultMaxKeys
	}
	if len(q.Keys) > most {
		return refusal(http.StatusForbidden, "CU-403", "Forbidden")
	}
	b, ok := c.s.addContainer(c.account.GCID, q, c.now, c.faults.CountDeleted)
	if !ok {
		return refusal(http.StatusForbidden, "CU-124", "The maximum number of containers is reached")
	}
	if err := c.s.store.save(); err != nil {
		c.s.fail(err)
	}
	status := http.StatusCreated
	if c.faults.ContainerCreated200 {
		status = http.StatusOK
	}
	c.json(status, b.body(true))
	return nil
}

// knows tells whether a key may be put into a container: removed ones may not.
func (a *rest) knows(d schema.Descriptor) bool {
	if d == "vehicle.learningNavigation" { // removed between the editions of the catalogue
		return false
	}
	_, ok := a.catalogue.Lookup(d)
	return ok
}

// addContainer makes a container unless the account has too many.
func (s *Simulator) addContainer(gcid schema.GCID, q createRequest, now time.Time, countDeleted bool) (b Container, ok bool) {
	s.store.update(gcid, func(v *saved) {
		v.Containers = listed(v.Containers, now)
		n := 0
		for _, old := range v.Containers {
			if old.State == stateActive || countDeleted {
				n++
			}
		}
		if n >= containerLimit {
			return
		}
		v.ContainersMade++
		b = Container{
			ID: containerID(gcid, v.ContainersMade), Name: q.Name, Purpose: q.Purpose, State: stateActive,
			Created: now.UTC().Truncate(time.Millisecond), Keys: slices.Clone(q.Keys),
		}
		v.Containers = append(v.Containers, b)
		ok = true
	})
	return b, ok
}

// listed drops what has been deleted for long. The result is a slice of its own.
func listed(all []Container, now time.Time) []Container {
	return slices.DeleteFunc(slices.Clone(all), func(b Container) bool {
		return b.State == stateDeleted && now.Sub(b.Deleted) >= deletedFor
	})
}

// containerID follows from the account and a count.
func containerID(gcid schema.GCID, n int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "container %s %d", gcid, n))
	return base32.StdEncoding.EncodeToString(sum[:])[:containerIDLen]
}

func (c *call) deleteContainer() *restError {
	id := c.r.PathValue("containerId")
	if !containerForm(id) {
		return refusal(http.StatusBadRequest, "CU-121", "Format of parameter containerId is invalid")
	}
	switch c.s.dropContainer(c.account.GCID, id, c.now) {
	case stateActive:
		if err := c.s.store.save(); err != nil {
			c.s.fail(err)
		}
		c.w.WriteHeader(http.StatusNoContent)
		return nil
	case stateDeleted:
		return refusal(http.StatusBadRequest, "CU-122", "The container is being deleted already")
	default:
		_, fail := c.container(id)
		return fail
	}
}

// dropContainer deletes a container and gives the state it had, empty when it
// is unknown.
func (s *Simulator) dropContainer(gcid schema.GCID, id string, now time.Time) (was string) {
	s.store.update(gcid, func(v *saved) {
		v.Containers = listed(v.Containers, now)
		for i := range v.Containers {
			if b := &v.Containers[i]; b.ID == id {
				was = b.State
				if was == stateActive {
					b.State, b.Deleted = stateDeleted, now.UTC()
				}
			}
		}
	})
	return was
}

// Containers gives the account's containers, oldest first, with the deleted
// ones that the list still shows. Their Keys are shared: read only.
func (s *Simulator) Containers(gcid schema.GCID) []Container {
	return listed(s.store.get(gcid).Containers, time.Now())
}

// AddContainer makes a container as another tool of the account would, without
// a call. The bool is false when the account has ten already.
func (s *Simulator) AddContainer(gcid schema.GCID, name, purpose string, keys []schema.Descriptor) (Container, bool) {
	return s.addContainer(gcid, createRequest{name, purpose, keys}, time.Now(), s.faults.get().CountDeleted)
}

// DropContainer deletes a container as another tool of the account would,
// without a call. It is false when there is no such active container.
func (s *Simulator) DropContainer(gcid schema.GCID, id string) bool {
	return s.dropContainer(gcid, id, time.Now()) == stateActive
}
