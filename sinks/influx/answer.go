package influx

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

// The reason codes of rejections.
const (
	ReasonRejected    = "influx_rejected"    // the server will not take the line
	ReasonTooLarge    = "influx_too_large"   // the line alone is above the server's limit of a request
	ReasonRetention   = "influx_retention"   // older than the server keeps
	ReasonUnencodable = "influx_unencodable" // line protocol cannot carry it
)

// refusal is the server's word that lines, not the server, are at fault.
type refusal struct {
	status int
	text   string
}

func (r *refusal) reason() string {
	switch {
	case r.status == http.StatusRequestEntityTooLarge:
		return ReasonTooLarge
	case strings.Contains(r.text, "beyond retention policy"):
		return ReasonRetention
	}
	return ReasonRejected
}

// classify is the one place that says what an answer to a write means. Both
// results are nil when the lines are durable.
//
// Only 204 is an acknowledgement: a proxy's login page answers 200. 401, 403
// and 404 are Fatal although a token or a bucket may come back: a process that
// ends and is started again says so where a person looks, and loses nothing.
func classify(resp *http.Response, text string) (*refusal, error) {
	status := resp.StatusCode
	switch {
	case status == http.StatusNoContent:
		return nil, nil //nolint:nilnil // both nil: the lines are durable
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return nil, serverError(pipeline.Retryable, resp, text)
	case atLimit(text):
		return nil, serverError(pipeline.Fatal, resp, text)
	case status == http.StatusBadRequest, // malformed; on 1.8 also conflicts and retention
		status == http.StatusUnprocessableEntity,   // 2.x: conflicts and retention
		status == http.StatusRequestEntityTooLarge, // shorter requests may pass
		status == http.StatusCreated:               // hosted 2.x: some points rejected
		return &refusal{status: status, text: text}, nil
	case status >= http.StatusInternalServerError:
		return nil, serverError(pipeline.Retryable, resp, text)
	}
	return nil, serverError(pipeline.Fatal, resp, text)
}

// atLimit tells the server's own trouble from that of a line. A text that
// repeats the line is about the line, whatever words are in it.
func atLimit(text string) bool {
	if strings.Contains(text, "unable to parse") {
		return false
	}
	text = strings.ToLower(text)
	for _, word := range [...]string{
		"max-series-per-database", "max-values-per-tag", "limit exceeded", "exceeded limit", "quota", "cardinality", // limits set by the operator
		"no space left on device", "read-only file system", "disk quota", // the disk
		"retention policy not found", // 1.8 answers 500
	} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

func serverError(class pipeline.Class, resp *http.Response, text string) error {
	return &pipeline.WriteError{
		Op:    "influx write",
		Class: class,
		After: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
		Err:   fmt.Errorf("status %d: %s", resp.StatusCode, redactLine(text)),
	}
}

// retryAfter reads both forms of the header; what cannot be read, is past or
// absurd is 0 and leaves the wait to the caller.
func retryAfter(h string, now time.Time) time.Duration {
	if s, err := strconv.Atoi(h); err == nil {
		if s < 0 || s > 24*3600 {
			return 0
		}
		return time.Duration(s) * time.Second
	}
	at, err := http.ParseTime(h)
	if err != nil {
		return 0
	}
	if d := at.Sub(now); d > 0 && d <= 24*time.Hour {
		return d
	}
	return 0
}

// maxAnswer bounds what is read of an error answer.
const maxAnswer = 64 << 10

// answerText gives the server's words: of the JSON forms of 1.8 ("error") and
// 2.x ("message"), else the body as it is, else the header of 1.8.
func answerText(resp *http.Response) string {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // a torn body leaves the status and the header
	var told struct {
		Error   string `json:"error"`
		Message string `json:"message"`
	}
	text := ""
	if json.Unmarshal(body, &told) == nil {
		text = told.Message
		if told.Error != "" && !strings.Contains(text, told.Error) {
			text = strings.TrimPrefix(text+": "+told.Error, ": ")
		}
	}
	if text == "" {
		text = strings.TrimSpace(string(body))
	}
	if text == "" {
		text = resp.Header.Get("X-Influxdb-Error")
	}
	if text == "" {
		return "no text"
	}
	return strings.ToValidUTF8(cut(text, 1024), "")
}

func cut(s string, n int) string { return s[:min(len(s), n)] }

// redactLine takes the repeated line, and with it the VIN, out of the server's
// words, for errors that end in a log.
func redactLine(text string) string {
	for _, mark := range [...]string{"unable to parse '", ` value="`} {
		if before, _, found := strings.Cut(text, mark); found {
			return before + mark + "…"
		}
	}
	return text
}

// transportError classes what went wrong before there was an answer.
func transportError(err error) error {
	return &pipeline.WriteError{Op: "influx write", Class: pipeline.Retryable, Err: err}
}

// asWriteError gives err as the pipeline's error, Retryable unless it says otherwise.
func asWriteError(op string, err error) error {
	if we, ok := errors.AsType[*pipeline.WriteError](err); ok {
		we.Op = op
		return we
	}
	if qe, ok := errors.AsType[*QueryError](err); ok && qe.Status/100 == 4 {
		return &pipeline.WriteError{Op: op, Class: pipeline.Fatal, Err: err}
	}
	return &pipeline.WriteError{Op: op, Class: pipeline.Retryable, Err: err}
}
