package pipeline

import (
	"context"
	"errors"
	"slices"
	"testing"
)

func TestThenHandsOnWhatIsStored(t *testing.T) {
	away := errors.New("away")
	refuse := func(indexes ...int) error {
		e := &WriteError{Op: "test", Class: Permanent, Err: errors.New("refused")}
		for _, i := range indexes {
			e.Rejected = append(e.Rejected, Rejection{Index: i, Reason: "r"})
		}
		return e
	}
	fatal := &WriteError{Op: "test", Class: Fatal, Err: errors.New("full")}
	for name, c := range map[string]struct {
		first, second error
		handed        []int // of 10 to 14
		want          error // with errors.Is
		rejected      []int
	}{
		"all stored":                  {handed: []int{10, 11, 12, 13, 14}},
		"first away":                  {first: away, want: away},
		"first full":                  {first: fatal, want: fatal},
		"second away":                 {second: away, handed: []int{10, 11, 12, 13, 14}, want: away},
		"first refuses some":          {first: refuse(1, 3), handed: []int{10, 12, 14}, rejected: []int{1, 3}},
		"first refuses all":           {first: refuse(0, 1, 2, 3, 4), rejected: []int{0, 1, 2, 3, 4}},
		"second refuses some":         {second: refuse(2), handed: []int{10, 11, 12, 13, 14}, rejected: []int{2}},
		"both refuse some":            {first: refuse(1, 3), second: refuse(0, 2), handed: []int{10, 12, 14}, rejected: []int{0, 1, 3, 4}},
		"first refuses, second fails": {first: refuse(1), second: away, handed: []int{10, 12, 13, 14}, want: away},
		"first refuses, second full":  {first: refuse(1), second: fatal, handed: []int{10, 12, 13, 14}, want: fatal},
	} {
		t.Run(name, func(t *testing.T) {
			var handed []int
			then := NewThen(
				sinkFunc[int](func(context.Context, []int) error { return c.first }),
				sinkFunc[int](func(_ context.Context, batch []int) error { handed = slices.Clone(batch); return c.second }))
			err := then.Write(t.Context(), []int{10, 11, 12, 13, 14})
			if !slices.Equal(handed, c.handed) {
				t.Errorf("handed on %v, want %v", handed, c.handed)
			}
			if c.rejected == nil {
				if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
					t.Errorf("Write = %v, want %v", err, c.want)
				}
				return
			}
			e, ok := errors.AsType[*WriteError](err)
			if !ok || e.Class != Permanent {
				t.Fatalf("Write = %v, want permanent", err)
			}
			var rejected []int
			for _, r := range e.Rejected {
				rejected = append(rejected, r.Index)
			}
			if !slices.Equal(rejected, c.rejected) {
				t.Errorf("rejected %v, want %v", rejected, c.rejected)
			}
		})
	}
}
