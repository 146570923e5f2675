// Package stream holds the MQTT connection of one BMW account and the rules
// that come with it: one connection per account, an hourly password, ten
// seconds between disconnect and connect, and no second chance for a message
// (CarData API, section "MQTT stream").
//
// It owns the connection, its back-off, the planned token change and the
// knowledge of when the stream was covered. It never parses a payload, never
// stores one, never refreshes a token by itself, and keeps no message: what it
// reads goes to the Handler before the next one is taken up.
//
// paho speaks MQTT 3.1.1 here, which the service serves as well as version 5.
// What 3.1.1 lacks are reason codes on a disconnect, so the cause of a loss is
// inferred; see lossCause.
package stream
