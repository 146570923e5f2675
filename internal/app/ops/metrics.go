// Package ops is what a running process shows its operator: metrics, health,
// readiness and logs.
package ops

import (
	"reflect"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

// Registry gives a fresh registry with the Go runtime's and the process's own
// figures and the build's version.
func Registry(version string) *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "cardata_build_info", Help: "Always 1; the version is the label.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build)
	return r
}

// Counters exports each exported atomic.Int64 field of stats, a pointer to a
// struct, as cardata_<subsystem>_<field_in_snake_case>_total. Structs count on
// their own terms; only here do their counters become metrics.
func Counters(r prometheus.Registerer, subsystem string, stats any) {
	v := reflect.ValueOf(stats).Elem()
	for i := range v.NumField() {
		counter, ok := reflect.TypeAssert[*atomic.Int64](v.Field(i).Addr())
		if !ok || !v.Type().Field(i).IsExported() {
			continue
		}
		name := snake(v.Type().Field(i).Name)
		Counter(r, subsystem+"_"+name, "Count of "+strings.ReplaceAll(name, "_", " ")+" in "+subsystem+".", counter.Load)
	}
}

// Counter exports one count as cardata_<name>_total.
func Counter(r prometheus.Registerer, name, help string, value func() int64) {
	r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "cardata_" + name + "_total", Help: help,
	}, func() float64 { return float64(value()) }))
}

// Gauge exports one current figure as cardata_<name>.
func Gauge(r prometheus.Registerer, name, help string, value func() float64) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cardata_" + name, Help: help}, value))
}

func snake(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			lowerBefore := i > 0 && (name[i-1] < 'A' || name[i-1] > 'Z')
			lowerAfter := i > 0 && i+1 < len(name) && 'a' <= name[i+1] && name[i+1] <= 'z'
			if lowerBefore || lowerAfter {
				b.WriteByte('_')
			}
			c += 'a' - 'A'
		}
		b.WriteByte(c)
	}
	return b.String()
}

// Info exports a fact as cardata_<name>_info with one label, always 1.
func Info(r prometheus.Registerer, name, label, value string) {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "cardata_" + name + "_info", Help: "Always 1; the fact is the label.", ConstLabels: prometheus.Labels{label: value},
	})
	g.Set(1)
	r.MustRegister(g)
}

// Ledger exports the sums of a ledger over all accounts as
// cardata_ledger_<figure>_total. Accounts are no labels: they are personal data.
func Ledger(r prometheus.Registerer, l *pipeline.Ledger) {
	t := reflect.TypeFor[pipeline.Counts]()
	for i := range t.NumField() {
		name := snake(t.Field(i).Name)
		Counter(r, "ledger_"+name, "Sum over all accounts of "+strings.ReplaceAll(name, "_", " ")+".", func() int64 {
			return l.Sum(func(c *pipeline.Counts) *atomic.Int64 {
				return reflect.ValueOf(c).Elem().Field(i).Addr().Interface().(*atomic.Int64)
			})
		})
	}
}
