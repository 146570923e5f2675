package rest

import (
	"context"
	"encoding/json"
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

// Containers asks for all containers of the account, deleted ones included.
func (c *Client) Containers(ctx context.Context) ([]Container, error) { return nil, nil }

// CreateContainer makes a container; an account has at most ten. One descriptor
// unknown to BMW fails the whole with KindUnknownKey.
func (c *Client) CreateContainer(ctx context.Context, name, purpose string, descriptors []schema.Descriptor) (Container, error) {
	return Container{}, nil
}

// Container asks for one container with its descriptors.
func (c *Client) Container(ctx context.Context, id string) (Container, error) {
	return Container{}, nil
}

// DeleteContainer removes a container. One that is gone already is no error.
func (c *Client) DeleteContainer(ctx context.Context, id string) error { return nil }

// DecodeContainers reads an answer that lists containers. The error is of KindProtocol.
func DecodeContainers(body []byte) ([]Container, error) { return nil, nil }
