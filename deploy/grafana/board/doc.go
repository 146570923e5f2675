// Package board builds the Grafana dashboards in ../dashboards. They are written
// here because five files of 500 to 1,500 lines of JSON cannot be kept alike by
// hand; Grafana reads the files alone. To write them anew:
//
//	go test ./deploy/grafana/board -update
//
// Every InfluxDB panel asks in InfluxQL, which InfluxDB 1.8 answers by itself and
// 2.x through its database mapping, so one file serves both. Only panels, data
// sources and variables that come with Grafana are used.
package board
