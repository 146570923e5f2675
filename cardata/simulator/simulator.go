package simulator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator/cars"
)

// Config says what to simulate. The zero value of every field but Accounts and
// Cars is usable.
type Config struct {
	Seed     uint64        // same seed, same accounts, cars and days
	Accounts int           // 1 or more
	Cars     int           // per account
	Speed    float64       // of the cars once live; 0 means 1, real time; see the package's part on time
	History  time.Duration // past fed first, at full pace; 0 means none
	Busy     float64       // density of messages, see cars.Config; 0 means 1
	Quirks   *cars.Quirks  // nil means cars.DefaultQuirks

	HTTPAddr string   // host:port of OAuth and REST; empty means a free port of 127.0.0.1
	MQTTAddr string   // host:port of the stream; likewise
	Hosts    []string // further names and addresses for the certificate; the first stands in the URLs
	Dir      string   // keys and state, kept over restarts; empty means a directory that Close removes

	AutoApprove bool   // every device code is approved at once
	Faults      Faults // in force from the start
	// ConnectsPerMinute is the limit of MQTT connection attempts per source
	// address; 0 means 10, negative means none.
	ConnectsPerMinute int

	TokenLife    time.Duration // of access and id tokens; 0 means 1 h
	RefreshLife  time.Duration // of refresh tokens; 0 means 14 days
	CodeLife     time.Duration // of device codes; 0 means 300 s
	PollInterval time.Duration // between polls for tokens, told in whole seconds; 0 means 5 s

	Quota int // calls of the Customer API per account and UTC day; 0 means 50

	Log *slog.Logger // nil means none

	greeting time.Duration // for handshake and CONNECT; 0 means 10 s, shorter in tests
}

// Stats counts what the service did. All fields are safe for concurrent use.
type Stats struct {
	DeviceCodes      atomic.Int64 // device flows started
	Polls            atomic.Int64 // polls for tokens
	Refreshes        atomic.Int64 // refresh requests
	TokenSets        atomic.Int64 // token sets issued
	Connects         atomic.Int64 // MQTT connection attempts that reached CONNECT
	Refused          atomic.Int64 // of Connects
	Throttled        atomic.Int64 // of Refused, for the connection rate
	Evicted          atomic.Int64 // sessions ended by a newer one or by Evict
	Expired          atomic.Int64 // sessions ended at their token's end
	SubscribeRefused atomic.Int64 // topic filters refused
	Publishes        atomic.Int64 // sessions ended because the client published
	WriteErrors      atomic.Int64 // batches whose connection died under them
	Thinned          atomic.Int64 // messages left out because two stamps fell into one second, at Speed over 1
	Dropped          atomic.Int64 // messages due to a subscriber but not handed over; anything but 0 fails the run
	NotFound         atomic.Int64 // requests for unknown paths
	RESTRequests     atomic.Int64 // calls of the Customer API, with a good token or not
	RESTErrors       atomic.Int64 // error bodies of the Customer API, those of unknown paths included
	RESTQuotaRefused atomic.Int64 // of RESTErrors, CU-429
}

// Simulator is a running service. Its methods are safe for concurrent use.
type Simulator struct {
	Stats Stats

	cfg      Config
	log      *slog.Logger
	signer   *signer
	store    *store
	ledger   *Ledger
	faults   faultBox
	gate     gate
	accounts []*account
	byGCID   map[string]*account
	byClient map[string]*account
	oauth    *oauth
	rest     *rest
	broker   *broker
	http     *http.Server
	url      string
	temp     bool // Dir is ours to remove
	newFeed  func(cars.Config) feed

	past    atomic.Int64  // feeders still in it
	history chan struct{} // closed when past is 0
	cancel  context.CancelFunc
	wg      sync.WaitGroup // everything started
	closing sync.Once

	mu  sync.Mutex // guards err
	err error
}

// Start brings the service up; it serves when Start returns. It runs until
// Close, which is needed even when ctx ends, though the feed stops with ctx.
func Start(ctx context.Context, cfg Config) (*Simulator, error) {
	return start(ctx, cfg, func(c cars.Config) feed { return cars.New(c) })
}

func start(ctx context.Context, cfg Config, newFeed func(cars.Config) feed) (*Simulator, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	s := &Simulator{
		cfg: cfg, log: cfg.Log, newFeed: newFeed,
		byGCID: make(map[string]*account), byClient: make(map[string]*account),
		history: make(chan struct{}),
	}
	s.faults.set(cfg.Faults)
	if err := s.open(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// complete checks the configuration and fills in the defaults.
func (c Config) complete() (Config, error) {
	var faults []error
	if c.Accounts < 1 {
		faults = append(faults, fmt.Errorf("accounts: %d, want 1 or more", c.Accounts))
	}
	if c.Cars < 0 {
		faults = append(faults, fmt.Errorf("cars: %d, want 0 or more", c.Cars))
	}
	if c.Speed < 0 || c.Speed > 0 && c.Speed < 1 {
		faults = append(faults, fmt.Errorf("speed: %v, want 1 or more", c.Speed))
	}
	if c.Quota < 0 {
		faults = append(faults, fmt.Errorf("quota: %d, want 0 or more", c.Quota))
	}
	if c.History < 0 {
		faults = append(faults, fmt.Errorf("history: %v, want 0 or more", c.History))
	}
	if c.Speed == 0 {
		c.Speed = 1
	}
	if c.Quirks == nil {
		q := cars.DefaultQuirks()
		c.Quirks = &q
	}
	if c.Quota == 0 {
		c.Quota = defaultQuota
	}
	if c.ConnectsPerMinute == 0 {
		c.ConnectsPerMinute = 10
	}
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&c.TokenLife, time.Hour},
		{&c.RefreshLife, 14 * 24 * time.Hour},
		{&c.CodeLife, 300 * time.Second},
		{&c.PollInterval, 5 * time.Second},
		{&c.greeting, 10 * time.Second},
	} {
		if *d.value <= 0 {
			*d.value = d.standard
		}
	}
	if c.HTTPAddr == "" {
		c.HTTPAddr = "127.0.0.1:0"
	}
	if c.MQTTAddr == "" {
		c.MQTTAddr = "127.0.0.1:0"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, errors.Join(faults...)
}

// open does what can fail, in the order Close undoes it.
func (s *Simulator) open(ctx context.Context) error {
	if s.cfg.Dir == "" {
		dir, err := os.MkdirTemp("", "cardata-simulator-")
		if err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
		s.cfg.Dir, s.temp = dir, true
	}
	if err := os.MkdirAll(s.cfg.Dir, 0o750); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	keys, err := openPKI(s.cfg.Dir)
	if err != nil {
		return err
	}
	if s.store, err = openStore(filepath.Join(s.cfg.Dir, stateFile)); err != nil {
		return err
	}
	s.signer = newSigner(keys.signKey)
	cert, err := keys.server(s.cfg.Hosts)
	if err != nil {
		return err
	}
	s.populate(time.Now())
	if err := s.serveHTTP(ctx, cert); err != nil {
		return err
	}
	tcp, err := listen(ctx, s.cfg.MQTTAddr)
	if err != nil {
		return err
	}
	s.broker = newBroker(s)
	if err := s.broker.start(tcp, cert); err != nil {
		return errors.Join(err, tcp.Close())
	}
	ctx, s.cancel = context.WithCancel(ctx)
	for _, a := range s.accounts {
		s.wg.Go(func() { a.feed.run(ctx) })
	}
	s.wg.Go(func() { s.keep(ctx) })
	return nil
}

// populate makes the accounts and their cars.
func (s *Simulator) populate(now time.Time) {
	all := make([]Account, s.cfg.Accounts)
	for i := range all {
		all[i] = newAccount(s.cfg.Seed, i, s.cfg.Cars)
	}
	s.ledger = newLedger(all)
	s.past.Store(int64(len(all)))
	for i, public := range all {
		a := &account{Account: public, prefix: string(public.GCID) + "/"}
		a.feed = newFeeder(s, a, i)
		a.feed.load(s.store.get(a.GCID).Feed, now)
		s.accounts = append(s.accounts, a)
		s.byGCID[string(a.GCID)] = a
		s.byClient[a.ClientID] = a
	}
}

// serveHTTP brings up OAuth, the verification page and REST on one listener.
func (s *Simulator) serveHTTP(ctx context.Context, cert tls.Certificate) error {
	tcp, err := listen(ctx, s.cfg.HTTPAddr)
	if err != nil {
		return err
	}
	s.url = "https://" + s.public(tcp.Addr())
	s.oauth = &oauth{s: s, codes: make(map[string]*deviceCode)}
	p := newPage(s)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /gcdm/oauth/device/code", s.oauth.start)
	mux.HandleFunc("POST /gcdm/oauth/token", s.oauth.token)
	mux.HandleFunc("GET /oneid/link", p.show)
	mux.HandleFunc("POST /oneid/link", p.decide)
	s.rest = newREST(s)
	s.rest.register(mux)
	mux.HandleFunc("/", s.notFound)
	s.http = &http.Server{
		Handler:           s.dated(mux),
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: s.cfg.greeting,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // handshakes that clients gave up
	}
	s.wg.Go(func() {
		if err := s.http.ServeTLS(tcp, "", ""); !errors.Is(err, http.ErrServerClosed) {
			s.fail(fmt.Errorf("serve http: %w", err))
		}
	})
	return nil
}

// dated moves the Date header by the clock skew in force.
func (s *Simulator) dated(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if skew := s.faults.get().ClockSkew; skew != 0 {
			w.Header().Set("Date", time.Now().Add(skew).UTC().Format(http.TimeFormat))
		}
		h.ServeHTTP(w, r)
	})
}

func listen(ctx context.Context, addr string) (*net.TCPListener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("listen on %s: not TCP", addr), l.Close())
	}
	return tcp, nil
}

// public gives host:port as clients may use it.
func (s *Simulator) public(addr net.Addr) string {
	host, port, _ := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	if len(s.cfg.Hosts) > 0 {
		host = s.cfg.Hosts[0]
	}
	return net.JoinHostPort(host, port)
}

// keep ends sessions at their token's end and saves the state, until ctx ends.
func (s *Simulator) keep(ctx context.Context) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	const saveEvery = 20 // ticks
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			s.broker.expire(now)
			if n%saveEvery == 0 {
				s.save(now)
			}
		}
	}
}

// save writes how far the cars were fed.
func (s *Simulator) save(now time.Time) {
	for _, a := range s.accounts {
		p := a.feed.state.position(now)
		s.store.update(a.GCID, func(v *saved) { v.Feed = p })
	}
	if err := s.store.save(); err != nil {
		s.fail(err)
	}
}

// caughtUp books that one feeder has left the past.
func (s *Simulator) caughtUp() {
	if s.past.Add(-1) == 0 {
		close(s.history)
	}
}

// fail keeps the first error for Err and logs it.
func (s *Simulator) fail(err error) {
	s.log.Error("simulator fault", "err", err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

// Close ends every connection and waits for all that Start began. It may be
// called again.
func (s *Simulator) Close() { s.closing.Do(s.shut) }

func (s *Simulator) shut() {
	running := s.cancel != nil
	if running {
		s.cancel()
	}
	if s.broker != nil {
		s.broker.close()
	}
	if s.http != nil {
		_ = s.http.Close()
	}
	s.wg.Wait()
	if running {
		s.save(time.Now())
	}
	if s.temp {
		_ = os.RemoveAll(s.cfg.Dir)
	}
}

// OAuthURL gives the base URL of OAuth: https, with a certificate of CAFile.
func (s *Simulator) OAuthURL() string { return s.url }

// RESTURL gives the base URL of the Customer API.
func (s *Simulator) RESTURL() string { return s.url }

// MQTTAddr gives host:port of the stream, TLS 1.3 only.
func (s *Simulator) MQTTAddr() string {
	addr, err := net.ResolveTCPAddr("tcp", s.broker.addr)
	if err != nil {
		return s.broker.addr
	}
	return s.public(addr)
}

// CAFile gives the path of the PEM file that clients have to trust.
func (s *Simulator) CAFile() string { return filepath.Join(s.cfg.Dir, caFile) }

// ClientID gives the first account's client id, a UUID.
func (s *Simulator) ClientID() string { return s.accounts[0].ClientID }

// ClientIDs gives the client id of each account, in their order.
func (s *Simulator) ClientIDs() []string {
	ids := make([]string, len(s.accounts))
	for i, a := range s.accounts {
		ids[i] = a.ClientID
	}
	return ids
}

// Accounts gives the accounts. The slices and maps in them are shared: read only.
func (s *Simulator) Accounts() []Account {
	all := make([]Account, len(s.accounts))
	for i, a := range s.accounts {
		all[i] = a.Account
	}
	return all
}

// Ledger gives the record of all that was handed to a socket.
func (s *Simulator) Ledger() *Ledger { return s.ledger }

// Err gives the first thing that went wrong inside the simulator, such as a
// dropped message: a run with an error proves nothing.
func (s *Simulator) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
