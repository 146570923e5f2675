package pipeline

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// entryKind says what a journal entry holds.
type entryKind byte

// The kinds of journal entries. The numbers are on disk: never change one.
const (
	entryMessage   entryKind = 1 // one MQTT message: GCID, topic, payload
	entryConnect   entryKind = 2 // the account's subscription stands: GCID
	entryLost      entryKind = 3 // it ended: GCID, last inbound (ns), cause
	entryHeartbeat entryKind = 4 // the process lives
	entryGap       entryKind = 5 // a finished gap: GCID, then the gap as JSON
)

var errEntry = errors.New("journal entry is malformed")

// entry is one journal entry, decoded. Its byte slices point into the record.
type entry struct {
	kind        entryKind
	gcid        []byte
	topic       []byte // message
	payload     []byte // message: payload; gap: JSON
	lastInbound time.Time
	cause       schema.GapCause
}

// appendEntryHead encodes kind, GCID and topic; the payload follows as it is.
func appendEntryHead(dst []byte, kind entryKind, gcid schema.GCID, topic string) []byte {
	dst = append(dst, byte(kind))
	dst = binary.AppendUvarint(dst, uint64(len(gcid)))
	dst = append(dst, gcid...)
	dst = binary.AppendUvarint(dst, uint64(len(topic)))
	return append(dst, topic...)
}

func appendLost(dst []byte, gcid schema.GCID, lastInbound time.Time, cause schema.GapCause) []byte {
	dst = appendEntryHead(dst, entryLost, gcid, string(cause))
	return binary.BigEndian.AppendUint64(dst, uint64(lastInbound.UnixNano()))
}

// decodeEntry reads an entry back. The error is errEntry.
func decodeEntry(data []byte) (entry, error) {
	if len(data) == 0 {
		return entry{}, errEntry
	}
	e := entry{kind: entryKind(data[0])}
	if e.kind == entryHeartbeat {
		return e, nil
	}
	var ok bool
	rest := data[1:]
	if e.gcid, rest, ok = cutPrefixed(rest); !ok {
		return entry{}, errEntry
	}
	if e.topic, rest, ok = cutPrefixed(rest); !ok {
		return entry{}, errEntry
	}
	switch e.kind {
	case entryMessage, entryGap, entryConnect:
		e.payload = rest
	case entryLost:
		if len(rest) != 8 {
			return entry{}, errEntry
		}
		e.lastInbound = time.Unix(0, int64(binary.BigEndian.Uint64(rest))).UTC()
		e.cause = schema.GapCause(e.topic)
	case entryHeartbeat:
	default:
		return entry{}, errEntry
	}
	return e, nil
}

func cutPrefixed(b []byte) (field, rest []byte, ok bool) {
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return nil, nil, false
	}
	end := used + int(n)
	return b[used:end:end], b[end:], true
}
