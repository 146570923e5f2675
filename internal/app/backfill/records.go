package backfill

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// made is what one answer becomes.
type made struct {
	records                               []pipeline.Record
	readings, sessions, vehicles, letters int
}

func (m *made) add(topic, key string, value []byte, at time.Time) {
	m.records = append(m.records, pipeline.Record{
		Topic: topic, Key: []byte(key), Value: value, Time: at,
		Headers: []pipeline.Header{{Key: pipeline.HeaderVersion, Value: []byte(pipeline.SchemaVersion)}},
	})
}

// maker turns answers into Kafka records. One goroutine owns it. What it makes
// of an answer depends on the answer alone, so making it again gives the same.
type maker struct {
	gcid       schema.GCID
	topics     pipeline.Topics
	normalizer *schema.Normalizer
	result     schema.Result
}

func newMaker(gcid schema.GCID, topics pipeline.Topics, cat *schema.Catalogue) *maker {
	return &maker{gcid: gcid, topics: topics, normalizer: schema.NewNormalizer(cat)}
}

// records makes everything that an answer is worth. It never fails: what
// cannot be used is a dead letter among the records.
func (k *maker) records(e *entry) made {
	var m made
	if e.None {
		return m
	}
	o := origin{gcid: k.gcid, vin: e.VIN, source: e.Source, fetched: e.Fetched}
	switch e.Kind {
	case KindSessions:
		k.sessions(&m, e.Body, o)
	case KindTelematics:
		k.telematics(&m, e.Body, o)
	case KindMapping:
		k.mappings(&m, e.Body, o)
	case KindBasic:
		k.vehicle(&m, e.Body, o, schema.VehicleBasicData)
	case KindTyres:
		k.vehicle(&m, e.Body, o, schema.VehicleTyres)
	case KindSettings:
		k.vehicle(&m, e.Body, o, schema.VehicleSettings)
	case KindImage:
		k.image(&m, e, o)
	}
	return m
}

func (k *maker) sessions(m *made, body []byte, o origin) {
	page, err := rest.DecodeSessions(body)
	if err != nil {
		k.letter(m, o, KindSessions, "invalid_answer", err.Error(), body)
		return
	}
	for _, raw := range page.Rejected {
		k.letter(m, o, KindSessions, "invalid_session", "a charging session without a readable start has no identity", raw)
	}
	for i := range page.Sessions {
		s := session(&page.Sessions[i], o)
		m.add(k.topics.ChargingSessions, string(o.vin), schema.AppendSession(nil, &s), o.fetched)
		m.sessions++
	}
}

// telematics makes the readings of an answer as the relay makes those of the
// stream: same key, same value, same version. A repeat lands on the same point.
func (k *maker) telematics(m *made, body []byte, o origin) {
	k.normalizer.Telematic(&k.result, schema.Input{
		GCID: o.gcid, VIN: o.vin, Received: o.fetched, Source: o.source, Payload: body,
	})
	for i := range k.result.Readings {
		m.add(k.topics.Readings, string(o.vin), schema.AppendReading(nil, &k.result.Readings[i]), o.fetched)
	}
	m.readings += len(k.result.Readings)
	if len(k.result.Faults) == 0 {
		return
	}
	first := k.result.Faults[0]
	words := first.Text
	if first.Descriptor != "" {
		words = string(first.Descriptor) + ": " + words
	}
	if more := len(k.result.Faults) - 1; more > 0 {
		words += " (and " + strconv.Itoa(more) + " more)"
	}
	k.letter(m, o, KindTelematics, string(first.Reason), words, body)
}

func (k *maker) mappings(m *made, body []byte, o origin) {
	list, err := rest.DecodeMappings(body)
	if err != nil {
		k.letter(m, o, KindMapping, "invalid_answer", err.Error(), body)
		return
	}
	for i := range list {
		o.vin = list[i].VIN
		k.vehicle(m, list[i].Raw, o, schema.VehicleMapping)
	}
}

func (k *maker) vehicle(m *made, raw []byte, o origin, kind schema.VehicleKind) {
	facts, err := schema.FactsOf(raw, kind)
	if err != nil {
		k.letter(m, o, Kind(kind), "invalid_answer", err.Error(), raw)
		if len(facts) == 0 {
			return
		} // else the facts that could be read are kept beside the letter
	}
	v := schema.Vehicle{GCID: o.gcid, VIN: o.vin, Kind: kind, Fetched: o.fetched, Facts: facts, Raw: raw}
	k.addVehicle(m, &v)
}

// image keeps facts about the picture; the picture itself is a file.
func (k *maker) image(m *made, e *entry, o origin) {
	sum := sha256.Sum256(e.Body)
	k.addVehicle(m, &schema.Vehicle{
		GCID: o.gcid, VIN: o.vin, Kind: schema.VehicleImage, Fetched: o.fetched,
		Facts: []schema.Fact{
			{Name: "content_type", Value: schema.Value{Kind: schema.KindText, Text: e.ContentType}},
			{Name: "sha256", Value: schema.Value{Kind: schema.KindText, Text: hex.EncodeToString(sum[:])}},
			{Name: "size_bytes", Value: schema.Value{Kind: schema.KindNumber, Number: float64(len(e.Body))}},
		},
	})
}

func (k *maker) addVehicle(m *made, v *schema.Vehicle) {
	m.add(k.topics.Vehicles, string(v.VIN)+"/"+string(v.Kind), schema.AppendVehicle(nil, v), v.Fetched)
	m.vehicles++
}

// letter keeps an answer, or a part of one, that could not be used.
func (k *maker) letter(m *made, o origin, kind Kind, reason, text string, original []byte) {
	key := string(o.vin)
	if key == "" {
		key = string(k.gcid)
	}
	l := pipeline.Letter{
		Key: key, Stage: "backfill", Reason: reason, Text: text, Origin: string(o.source) + "/" + string(kind),
		GCID: string(k.gcid), FirstSeen: o.fetched, Original: original,
	}
	m.records = append(m.records, l.Record(k.topics.DeadLetters))
	m.letters++
}

// settingsBody joins the pages of the settings to the body of one answer.
func settingsBody(pages []json.RawMessage) []byte {
	if len(pages) == 1 {
		return pages[0]
	}
	var elements []string
	for _, p := range pages {
		page, err := rest.DecodeSettings(p)
		if err != nil {
			continue // it was decoded when it came
		}
		for i := range page.Settings {
			elements = append(elements, string(page.Settings[i].Raw))
		}
	}
	return []byte(`{"data":[` + strings.Join(elements, ",") + `]}`)
}
