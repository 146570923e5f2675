package kafka

import (
	"errors"
	"fmt"
	"slices"

	"github.com/segmentio/kafka-go"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

// The reason codes of rejected records.
const (
	ReasonTooLarge = "message_too_large"
	ReasonInvalid  = "record_invalid"
)

var errVersion = errors.New("broker is too old")

// rejected answers for records that can never be stored while all others of
// their batch are acknowledged.
func rejected(list []pipeline.Rejection) error {
	slices.SortFunc(list, func(a, b pipeline.Rejection) int { return a.Index - b.Index })
	first := list[0]
	return &pipeline.WriteError{
		Op: "kafka produce", Class: pipeline.Permanent, Rejected: list,
		Err: fmt.Errorf("%d records rejected, first at %d: %s: %s", len(list), first.Index, first.Reason, first.Text),
	}
}

// verdict says what a failed request asks for.
type verdict int

const (
	again   verdict = iota // outcome unknown or a passing state of the cluster: same bytes once more
	split                  // some record of the batch: find it
	unfit                  // the batch is too long: shorter ones may pass
	missing                // topic or partition not known: again, but not for ever
	fatal                  // nothing passes until a person acts
)

// judge is the one place that decides about errors, for both directions.
func judge(err error) verdict {
	if errors.Is(err, errVersion) {
		return fatal
	}
	code, ok := errors.AsType[kafka.Error](err)
	if !ok {
		return again // network, timeout, torn answer: it may or may not have been done
	}
	switch code {
	case kafka.MessageSizeTooLarge, kafka.RecordListTooLarge:
		return unfit
	case kafka.InvalidRecord, kafka.InvalidTimestamp, kafka.UnsupportedForMessageFormat:
		return split
	case kafka.UnknownTopicOrPartition:
		return missing
	case kafka.TopicAuthorizationFailed, kafka.ClusterAuthorizationFailed, kafka.GroupAuthorizationFailed,
		kafka.SASLAuthenticationFailed, kafka.UnsupportedSASLMechanism, kafka.IllegalSASLState,
		kafka.InvalidTopic, kafka.UnsupportedVersion, kafka.SecurityDisabled:
		return fatal
	default:
		return again
	}
}

// codeError turns a wire code into an error; 0 is nil.
func codeError(code int16) error {
	if code == 0 {
		return nil
	}
	return kafka.Error(code)
}

func fatalError(op string, err error) error {
	return &pipeline.WriteError{Op: op, Class: pipeline.Fatal, Err: err}
}
