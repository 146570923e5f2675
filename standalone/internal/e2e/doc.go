// Package e2e holds the end-to-end tests: the simulator, ingest and sink as
// processes of their own, a broker and an InfluxDB, all of which are killed,
// stopped and taken away while messages flow. What the simulator handed to a
// socket must then be in InfluxDB, in the dead letters, or inside a recorded gap.
package e2e
