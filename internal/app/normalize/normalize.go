// Package normalize is the command that shows what ingest would make of
// payloads: one per line in, one JSON object per line out. It opens no
// connection and stores nothing.
package normalize

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// The kinds of payload.
const (
	KindStream    = "stream"
	KindTelematic = "telematic"
)

// Help texts of the command and its flags.
const (
	Short = "show what becomes of payloads: one per line in, one JSON line out"
	Long  = `Reads payloads from standard input, one per line, and writes what ingest would
make of each as one JSON line:

  readings      the readings, as on the topic cardata.readings; may be empty
  skipped       descriptors the car has never reported: null value and null time
  dead_letter   reason, text and, where one value alone is meant, its descriptor
  dead_letters  all of them, when there is more than one

Empty lines at the end of the input are passed over; with --base64 an empty line
is an empty payload everywhere.`
	HelpKind      = "what the payloads are: stream (MQTT) or telematic (answer of the REST call telematicData)"
	HelpTopic     = "identity of all payloads as GCID/VIN; without it the body's own counts, and a telematic body has none"
	HelpBase64    = "each line is one payload in base64, standard alphabet, padded or not"
	HelpCatalogue = "catalogue of descriptors to type by, a CSV file; empty is the embedded one"
)

// MaxLineBytes is the longest line; a longer one becomes a dead letter.
const MaxLineBytes = 16 << 20

// Reasons that only this command gives, beside those of schema.
const (
	ReasonInvalidBase64 schema.Reason = "invalid_base64"
	ReasonLineTooLong   schema.Reason = "line_too_long"
)

// Config is what the command's flags say.
type Config struct {
	Kind      string    // KindStream or KindTelematic
	Topic     string    // GCID/VIN; empty takes the body's own identity
	Base64    bool      // lines are base64
	Catalogue string    // file; empty is the embedded one
	Received  time.Time // arrival of every payload; zero is now
}

// Run normalises in line by line until it ends or ctx is done. Bad payloads are
// no failure. A flag that cannot be used is an error of code exit.Usage.
func Run(ctx context.Context, cfg Config, in io.Reader, out io.Writer) error {
	c, err := newConverter(cfg)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	lines := make(chan line)
	// Not waited for: a read from a terminal cannot be interrupted. It ends with
	// the input, or at its next line once ctx is done.
	go readLines(ctx, in, lines)
	w := bufio.NewWriterSize(out, 64<<10)
	empty := 0 // lines held back until it is clear that the input goes on
	for {
		l, more, err := next(ctx, lines, w)
		if err != nil {
			return err
		}
		if !more || errors.Is(l.err, io.EOF) {
			return flush(w)
		}
		if l.err != nil && !errors.Is(l.err, errLineTooLong) {
			return errors.Join(flush(w), fmt.Errorf("read payloads: %w", l.err))
		}
		if l.err == nil && len(l.data) == 0 && !cfg.Base64 {
			empty++
			continue
		}
		for ; empty > 0; empty-- {
			if err := c.write(w, line{}); err != nil {
				return err
			}
		}
		if err := c.write(w, l); err != nil {
			return err
		}
	}
}

// next gives the next line. Before it waits, it writes out what is done, so that
// a person who types sees the answer at once.
func next(ctx context.Context, lines <-chan line, w *bufio.Writer) (line, bool, error) {
	select {
	case l, more := <-lines:
		return l, more, nil
	default:
	}
	if err := flush(w); err != nil {
		return line{}, false, err
	}
	select {
	case l, more := <-lines:
		return l, more, nil
	case <-ctx.Done():
		return line{}, false, ctx.Err()
	}
}

func flush(w *bufio.Writer) error {
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}

// converter holds what lives across lines.
type converter struct {
	cfg  Config
	gcid schema.GCID
	vin  schema.VIN
	n    *schema.Normalizer
	res  schema.Result
	buf  []byte
}

func newConverter(cfg Config) (*converter, error) {
	c := &converter{cfg: cfg}
	var faults []error
	if cfg.Kind != KindStream && cfg.Kind != KindTelematic {
		faults = append(faults, fmt.Errorf("--kind %q: want %s or %s", cfg.Kind, KindStream, KindTelematic))
	}
	if cfg.Topic != "" {
		var err error
		if c.gcid, c.vin, err = parseTopic(cfg.Topic); err != nil {
			faults = append(faults, fmt.Errorf("--topic: %w", err))
		}
	}
	cat, err := loadCatalogue(cfg.Catalogue)
	if err != nil {
		faults = append(faults, fmt.Errorf("--catalogue: %w", err))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	c.n = schema.NewNormalizer(cat)
	return c, nil
}

func parseTopic(topic string) (schema.GCID, schema.VIN, error) {
	account, vehicle, found := strings.Cut(topic, "/")
	if !found {
		return "", "", errors.New("want GCID/VIN")
	}
	gcid, err := schema.ParseGCID(account)
	if err != nil {
		return "", "", err
	}
	vin, err := schema.ParseVIN(vehicle)
	return gcid, vin, err
}

func loadCatalogue(path string) (*schema.Catalogue, error) {
	if path == "" {
		return schema.Default(), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return schema.LoadCatalogue(f, filepath.Base(path))
}

// write normalises one line and writes its result.
func (c *converter) write(w io.Writer, l line) error {
	c.normalize(l)
	if err := c.encode(); err != nil {
		return err
	}
	if _, err := w.Write(c.buf); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}

func (c *converter) normalize(l line) {
	if l.err != nil {
		c.fault(ReasonLineTooLong, fmt.Sprintf("the line is longer than %d bytes", MaxLineBytes))
		return
	}
	payload := l.data
	if c.cfg.Base64 {
		var err error
		if payload, err = decodeBase64(l.data); err != nil {
			c.fault(ReasonInvalidBase64, err.Error())
			return
		}
	}
	in := schema.Input{GCID: c.gcid, VIN: c.vin, Received: c.cfg.Received, Payload: payload}
	if in.Received.IsZero() {
		in.Received = time.Now()
	}
	if c.cfg.Kind == KindTelematic {
		c.n.Telematic(&c.res, in)
	} else {
		c.n.Stream(&c.res, in)
	}
}

func (c *converter) fault(reason schema.Reason, text string) {
	c.res.Reset()
	c.res.Faults = append(c.res.Faults, schema.Fault{Reason: reason, Text: text})
}

func decodeBase64(b []byte) ([]byte, error) {
	text := strings.TrimRight(strings.TrimSpace(string(b)), "=")
	return base64.RawStdEncoding.DecodeString(text)
}

// deadLetter is a fault as it is written out.
type deadLetter struct {
	Reason     schema.Reason     `json:"reason"`
	Text       string            `json:"text"`
	Descriptor schema.Descriptor `json:"descriptor,omitempty"`
}

func (c *converter) encode() error {
	c.buf = append(c.buf[:0], `{"readings":[`...)
	for i := range c.res.Readings {
		if i > 0 {
			c.buf = append(c.buf, ',')
		}
		c.buf = schema.AppendReading(c.buf, &c.res.Readings[i])
	}
	c.buf = append(c.buf, ']')
	if len(c.res.Skipped) > 0 {
		if err := c.member("skipped", c.res.Skipped); err != nil {
			return err
		}
	}
	letters := make([]deadLetter, 0, len(c.res.Faults))
	for _, f := range c.res.Faults {
		letters = append(letters, deadLetter{Reason: f.Reason, Text: f.Text, Descriptor: f.Descriptor})
	}
	if len(letters) > 0 {
		if err := c.member("dead_letter", letters[0]); err != nil {
			return err
		}
	}
	if len(letters) > 1 {
		if err := c.member("dead_letters", letters); err != nil {
			return err
		}
	}
	c.buf = append(c.buf, '}', '\n')
	return nil
}

func (c *converter) member(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	c.buf = append(append(append(c.buf, `,"`...), name...), `":`...)
	c.buf = append(c.buf, b...)
	return nil
}
