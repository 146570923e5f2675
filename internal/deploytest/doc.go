// Package deploytest holds what is deployed to the code: the Helm chart's
// variables to the Config structs, alerts to the metrics that exist, copies of
// files to their originals. It has tests only.
package deploytest
