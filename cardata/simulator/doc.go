// Package simulator is BMW CarData for anyone without a car: the OAuth, MQTT
// and REST surfaces of the service (CarData API, section "Simulator
// specification"), on TLS with a CA of its own, for any number of accounts
// whose cars drive and charge. Clients of the real service run against it
// unchanged but for addresses and CA.
//
// It owns what the service answers and the ledger of what was handed to a
// socket. It never looks at what clients make of it, and it knows nothing of
// the pipeline.
//
// # Use
//
//	sim, err := simulator.Start(ctx, simulator.Config{Seed: 1, Accounts: 1, Cars: 3, History: 24 * time.Hour, AutoApprove: true})
//	…
//	defer sim.Close()
//	// log in at sim.OAuthURL() with sim.ClientID(), trusting sim.CAFile();
//	// connect to sim.MQTTAddr() with the GCID and the id token;
//	<-sim.HistoryDone()
//	sim.Pause()
//	for e := range sim.Ledger().Entries(sim.Accounts()[0].GCID) { … }
//
// Accounts, client ids, VINs and the cars' days follow from the seed alone.
// Config.Dir keeps the CA, the key that signs tokens, refresh tokens and the
// position of the feed, so that a restart goes on with the logins and the days
// of the run before.
//
// # Time
//
// With Config.History the past comes first: from now − History, or from where
// an earlier run on the same Dir stopped if that is later, every message of
// those days goes through the real MQTT path at full pace. The past waits while
// nobody is subscribed and goes on after a reconnect, with nothing lost or
// repeated by the feed itself. It ends when it has caught up with the clock;
// the feed is live from then on, and what falls due while nobody listens is
// unheard, as with the real service.
//
// Speed over 1 concerns the live part alone: the cars live faster, and their
// stamps are mapped back so that none lies in the future. A minute at speed 60
// is an hour of driving and charging within one minute of stamps. Two values of
// a key that would fall into one second are thinned to the first. How far the
// cars' own clock has got ahead is kept, so that a later run does not repeat
// their days.
//
// # Customer API
//
// REST is served beside OAuth. It tells of the same cars at the time of the
// clock, whatever was fed: telematicData has the latest value of each key that
// the car has sent, as one reading with what streams (same key, time and
// truth, in the other channel's words), and the keys that never stream;
// chargingHistory has the sessions that streamed. Latest and Sessions are the
// truth behind both. Keys that no car of the model sends have neither value nor
// time.
//
// The quota counts every call with a good token of the right scope, answered
// well or not, on the account; it and the containers are kept over restarts.
// Spend, AddContainer and DropContainer do what another tool of the account
// would.
//
// # Ledger
//
// A message is booked, in order, just before its write to the socket of a
// subscribed connection. The feed writes to the sockets itself, in batches, and
// waits for a client that reads slowly: there is no queue to overflow. If the
// connection dies under a write, its messages stay booked, for they may have
// arrived. Before the service ends a connection it writes what is booked, so
// that a client that reads to the end gets all of it, also after its own
// DISCONNECT.
//
// A client that stops reading leaves behind what the two kernels hold: the last
// entries of that connection. Their Handed may lie before the arrival of the
// last message that was read, for a message can wait in those buffers; the
// order of the ledger within one connection is the order on the wire, and
// Ledger.Connections tells when each one ended.
//
// # Files
//
//	simulator.go  Config, Start, Close, what a run gives      control.go   faults and actions while it runs
//	oauth.go      device flow and refresh                     page.go      the verification page
//	broker.go     who may connect and subscribe               session.go   one account's connection
//	listener.go   TLS, sockets                                feed.go      cars to socket, booked
//	clock.go      the cars' time and ours                     ledger.go    the record
//	token.go      JWTs, access tokens                         pki.go       CA and keys
//	state.go      what survives a restart                     rest.go      the Customer API: paths, checks
//	rest_quota.go       calls counted                         rest_answer.go     bodies, errors, faults in them
//	rest_containers.go  create, list, get, delete             rest_telematics.go latest values
//	rest_history.go     sessions, page tokens                 rest_session.go    a session on the wire
//	rest_vehicle.go     mappings, basicData                   rest_tyres.go      tyres, settings, image
package simulator
