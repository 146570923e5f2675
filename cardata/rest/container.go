package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Container is a named list of descriptors for Telematic (CarData API, section
// 3.4, "containers"). It cannot be changed, only replaced.
type Container struct {
	ID          string // 13 upper-case letters and digits
	Name        string
	Purpose     string
	State       string              // ACTIVE; DELETED ones stay listed for a while
	Created     time.Time           // UTC
	Descriptors []schema.Descriptor // a list of containers leaves them out
	Raw         json.RawMessage
	Problems    []string // fields that could not be read, without their values
}

// Active tells whether the container can be used.
func (c Container) Active() bool { return c.State == "ACTIVE" }

const containersPath = "/customers/containers"

// Containers asks for all containers of the account, deleted ones included.
func (c *Client) Containers(ctx context.Context) ([]Container, error) {
	const op = "list containers"
	doc, err := c.get(ctx, aboutAccount, op, containersPath, nil)
	if err != nil {
		return nil, err
	}
	list, problems, err := containers(op, doc)
	c.noteProblems(op, problems)
	for i := range list {
		c.noteProblems(op, list[i].Problems)
	}
	return list, err
}

// CreateContainer makes a container; an account has at most ten. One descriptor
// unknown to BMW fails the whole with KindUnknownKey. An error of KindTransient
// leaves open whether it was made: list before trying again.
func (c *Client) CreateContainer(ctx context.Context, name, purpose string, descriptors []schema.Descriptor) (Container, error) {
	const op = "create container"
	if name == "" || purpose == "" || len(descriptors) == 0 {
		return Container{}, &Error{Op: op, Kind: KindBug, Remedy: "give name, purpose and at least one descriptor"}
	}
	body, err := json.Marshal(struct {
		Name        string              `json:"name"`
		Purpose     string              `json:"purpose"`
		Descriptors []schema.Descriptor `json:"technicalDescriptors"`
	}{name, purpose, descriptors})
	if err != nil {
		return Container{}, &Error{Op: op, Kind: KindBug, Remedy: remedyBug, Err: err}
	}
	return c.container(ctx, request{op: op, method: http.MethodPost, path: containersPath, body: body, about: aboutCreate})
}

// Container asks for one container with its descriptors.
func (c *Client) Container(ctx context.Context, id string) (Container, error) {
	const op = "fetch container"
	if err := checkContainerID(op, id); err != nil {
		return Container{}, err
	}
	return c.container(ctx, request{op: op, method: http.MethodGet, path: containersPath + "/" + id, about: aboutContainer})
}

func (c *Client) container(ctx context.Context, r request) (Container, error) {
	doc, err := c.callJSON(ctx, r)
	if err != nil {
		return Container{}, err
	}
	n := new(notes)
	o, err := topObject(r.op, doc, n)
	if err != nil {
		return Container{}, err
	}
	k := container(o, doc)
	c.noteProblems(r.op, k.Problems)
	if k.ID == "" {
		return k, &Error{Op: r.op, Kind: KindProtocol, Remedy: "list the containers: it may exist", Err: errors.New("the answer has no container id")}
	}
	return k, nil
}

// DeleteContainer removes a container. One that is gone, already being deleted or
// another account's is no error: this account has none with the id either way.
func (c *Client) DeleteContainer(ctx context.Context, id string) error {
	const op = "delete container"
	if err := checkContainerID(op, id); err != nil {
		return err
	}
	_, err := c.call(ctx, request{
		op: op, method: http.MethodDelete, path: containersPath + "/" + id,
		accept: acceptJSON, limit: maxJSONBytes, about: aboutContainer,
	})
	if e, ok := errors.AsType[*Error](err); ok && e.Kind == KindContainerGone {
		return nil
	}
	return err
}

// checkContainerID checks the form first: CU-121 would cost a call.
func checkContainerID(op, id string) error {
	ok := len(id) == 13
	for _, r := range id {
		ok = ok && ('A' <= r && r <= 'Z' || '0' <= r && r <= '9')
	}
	if ok {
		return nil
	}
	return &Error{
		Op: op, Kind: KindBug, Remedy: "list the containers to find the id",
		Err: errors.New("a container id is 13 characters of A-Z and 0-9"),
	}
}

// DecodeContainers reads an answer that lists containers. The error is of KindProtocol.
func DecodeContainers(body []byte) ([]Container, error) {
	const op = "decode containers"
	doc, err := document(body)
	if err != nil {
		return nil, undecodable(op, err)
	}
	list, _, err := containers(op, doc)
	return list, err
}

func containers(op string, doc json.RawMessage) (list []Container, problems []string, err error) {
	n := new(notes)
	all := doc
	if form(doc) == "object" {
		o, _ := newObject(doc, "", n)
		all = o.members["containers"]
	}
	if what := form(all); what != "list" && what != "object" && (what != "null" || form(doc) == "null") {
		return nil, nil, &Error{Op: op, Kind: KindProtocol, Remedy: remedyAnswer, Err: errors.New("list of containers expected, got " + what)}
	}
	for i, raw := range elements(all, "containers", n) {
		own := new(notes)
		o, ok := newObject(raw, "", own)
		if !ok || o.text("containerId") == "" {
			n.add(fmt.Sprintf("containers[%d].containerId", i), "missing or malformed")
			continue
		}
		list = append(list, container(o, raw))
	}
	return list, n.list, nil
}

func container(o object, raw json.RawMessage) Container {
	k := Container{
		ID: o.text("containerId"), Name: o.text("name"), Purpose: o.text("purpose"),
		State: strings.ToUpper(o.text("state")), Created: o.time("created"), Raw: raw,
	}
	for _, d := range o.texts("technicalDescriptors") {
		k.Descriptors = append(k.Descriptors, schema.Descriptor(d))
	}
	k.Problems = o.notes.list
	return k
}
