// Package dashboards holds no code but the tests of deploy/grafana/dashboards:
// every query of every panel against an InfluxDB that the simulator has filled
// through the whole pipeline, and every metric against what the processes export.
package dashboards
