package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Telematic asks for a car's last known values of the descriptors in a container
// and gives BMW's JSON object as it came, for schema.Normalizer.Telematic. A call
// never wakes the car (CarData API, section 3.3).
func (c *Client) Telematic(ctx context.Context, vin schema.VIN, containerID string) (body []byte, err error) {
	const op = "fetch telematic data"
	if err := checkContainerID(op, containerID); err != nil {
		return nil, err
	}
	doc, err := c.vehicle(ctx, aboutTelematic, op, vin, "telematicData", url.Values{"containerId": {containerID}})
	if err != nil {
		return nil, err
	}
	o, err := topObject(op, doc, new(notes))
	if err != nil {
		return nil, err
	}
	if what := form(o.members["telematicData"]); what != "object" {
		return nil, &Error{Op: op, Kind: KindProtocol, Remedy: remedyAnswer, Err: errors.New("telematicData: object expected, got " + what)}
	}
	return doc, nil
}

// DecodeTelematics turns telematics of the portal's archive, a map of descriptors
// to points, into bodies as Telematic gives them; a body of that form is given
// back alone. A descriptor with a list of points gives one of them to each body,
// in their order. The error is of KindProtocol.
func DecodeTelematics(file []byte) (bodies [][]byte, err error) {
	const op = "decode telematics"
	doc, err := document(file)
	if err != nil {
		return nil, undecodable(op, err)
	}
	n := new(notes)
	o, err := topObject(op, doc, n)
	if err != nil {
		return nil, undecodable(op, errors.New("object expected, got "+form(doc)))
	}
	points := o
	if o.has("telematicData") {
		if points, _ = o.child("telematicData"); points.members == nil {
			return nil, undecodable(op, errors.New("telematicData: object expected, got "+form(o.members["telematicData"])))
		}
	}
	return layers(points), nil
}

// layers spreads lists of points over as many bodies as the longest has points.
func layers(points object) (bodies [][]byte) {
	names := make([]string, 0, len(points.members))
	for name := range points.members {
		names = append(names, name)
	}
	slices.Sort(names)
	var maps []*bytes.Buffer
	for _, name := range names {
		values := []json.RawMessage{points.members[name]}
		if form(values[0]) == "list" {
			values = points.list(name)
		}
		for i, value := range values {
			if i == len(maps) {
				maps = append(maps, new(bytes.Buffer))
			}
			appendMember(maps[i], name, value)
		}
	}
	for _, m := range maps {
		bodies = append(bodies, slices.Concat([]byte(`{"telematicData":{`), m.Bytes(), []byte("}}")))
	}
	return bodies
}

func appendMember(b *bytes.Buffer, name string, value json.RawMessage) {
	if b.Len() > 0 {
		b.WriteByte(',')
	}
	key, _ := json.Marshal(name) // a string always passes
	b.Write(key)
	b.WriteByte(':')
	b.Write(value)
}
