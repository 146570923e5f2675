// Package option stands in for the options of Google's client library.
package option

// ClientOption does nothing.
type ClientOption struct{}

// WithCredentialsJSON does nothing.
func WithCredentialsJSON([]byte) ClientOption { return ClientOption{} }
