package cars

import (
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// AppendPayload appends the MQTT payload of e, one key per message, exactly as
// the service writes it (CarData API, section "Message"). The topic is
// gcid/VIN. It does not allocate when dst has room (about 300 bytes for a
// scalar value).
func AppendPayload(dst []byte, gcid schema.GCID, e *Emission) []byte {
	dst = append(dst, `{"vin":"`...)
	dst = append(dst, e.VIN...)
	dst = append(dst, `","entityId":"`...)
	dst = append(dst, gcid...)
	dst = append(dst, `","topic":"`...)
	dst = append(dst, e.VIN...)
	dst = append(dst, `","timestamp":"`...)
	dst = appendMillis(dst, e.Sent)
	dst = append(dst, `","data":{"`...)
	dst = append(dst, e.Descriptor...)
	dst = append(dst, `":{"timestamp":"`...)
	dst = appendSeconds(dst, e.Measured)
	dst = append(dst, `","value":`...)
	dst = append(dst, e.Wire...)
	if e.HasUnit {
		dst = append(dst, `,"unit":"`...)
		dst = append(dst, e.Unit...)
		dst = append(dst, '"')
	}
	return append(dst, `}}}`...)
}

// appendSeconds uses the one layout that time formats without parsing it.
func appendSeconds(dst []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(dst, time.RFC3339)
}

func appendMillis(dst []byte, t time.Time) []byte {
	dst = appendSeconds(dst, t)
	ms := t.Nanosecond() / 1e6
	return append(dst[:len(dst)-1], '.', '0'+byte(ms/100), '0'+byte(ms/10%10), '0'+byte(ms%10), 'Z')
}
