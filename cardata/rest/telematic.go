package rest

import (
	"context"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Telematic asks for a car's last known values of the descriptors in a container
// and gives BMW's JSON object as it came, for schema.Normalizer.Telematic. A call
// never wakes the car (CarData API, section 3.3).
func (c *Client) Telematic(ctx context.Context, vin schema.VIN, containerID string) (body []byte, err error) {
	return nil, nil
}

// DecodeTelematics turns telematics of the portal's archive, a map of descriptors
// to points, into bodies as Telematic gives them; a body of that form is given
// back alone. A descriptor with a list of points gives one of them to each body.
// The error is of KindProtocol.
func DecodeTelematics(file []byte) (bodies [][]byte, err error) { return nil, nil }
