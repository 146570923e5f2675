package kafka

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/cardata-pipeline/cardata-pipeline/internal/tlsfiles/tlstest"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

// roundTrip creates a topic, writes it and reads it by a group: every way that
// connections are made.
func (w *world) roundTrip(s Security) {
	w.t.Helper()
	c := w.client(func(cfg *Config) { cfg.Security = s; cfg.Compression = "zstd" })
	if err := c.Ping(w.ctx(20 * time.Second)); err != nil {
		w.t.Fatal(err)
	}
	topic := w.topic(c, 3)
	w.produce(c, numbered(topic, 10, 0, 200))
	ctx, cancel := context.WithCancel(w.ctx(30 * time.Second))
	defer cancel()
	var seen atomic.Int64
	err := c.Consume(ctx, ConsumerConfig{Group: w.name(), Topics: []string{topic}}, func(_ context.Context, _ string, _ int, batch []pipeline.Record) error {
		if seen.Add(int64(len(batch))) == 200 {
			cancel()
		}
		return nil
	})
	if err != nil || seen.Load() != 200 {
		w.t.Errorf("read %d of 200 records: %v", seen.Load(), err)
	}
	if w.logs.count(string(s.Password)) > 0 && s.Password != "" {
		w.t.Error("the password is in the log")
	}
}

func TestRecordsPassEveryKindOfSecurity(t *testing.T) {
	t.Parallel()
	a := tlstest.New(t)
	certFile, keyFile := a.Issue("client", 3, time.Hour)
	for name, mechanism := range map[string]string{"plain": SASLPlain, "scram 256": SASLScramSHA256, "scram 512": SASLScramSHA512} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := login(mechanism, appUser, appPassword)
			s.CAFile = a.File
			secured(t, append(users(), kfake.TLS(a.Serving(false, time.Hour)))...).roundTrip(s)
		})
		t.Run(name+" without TLS", func(t *testing.T) {
			t.Parallel()
			w := secured(t, users()...)
			w.roundTrip(login(mechanism, appUser, appPassword))
			if warned := w.logs.count("unencrypted") > 0; warned != (mechanism == SASLPlain) {
				t.Errorf("%s: warned of the open password: %t", mechanism, warned)
			}
		})
		t.Run("real "+name, func(t *testing.T) {
			w, s := realSecured(t, "CARDATA_TEST_KAFKA_SASL")
			if mechanism == SASLScramSHA256 {
				t.Skip("the test broker knows SCRAM-SHA-512 and PLAIN")
			}
			w.roundTrip(realUser(s, mechanism, "CARDATA_TEST_KAFKA_USER", "CARDATA_TEST_KAFKA_PASSWORD"))
		})
	}
	t.Run("client certificate", func(t *testing.T) {
		t.Parallel()
		secured(t, kfake.TLS(a.Serving(true, time.Hour))).roundTrip(Security{CAFile: a.File, CertFile: certFile, KeyFile: keyFile})
	})
	t.Run("real client certificate", func(t *testing.T) {
		w, s := realSecured(t, "CARDATA_TEST_KAFKA_MTLS")
		s.CertFile, s.KeyFile = os.Getenv("CARDATA_TEST_KAFKA_CERT"), os.Getenv("CARDATA_TEST_KAFKA_KEY")
		w.roundTrip(s)
	})
}

// trouble gives the error of a client's first request.
func (w *world) firstError(s Security) error {
	w.t.Helper()
	c := w.client(func(cfg *Config) { cfg.Security = s; cfg.RequestTimeout = 4 * time.Second })
	return c.Ping(w.ctx(8 * time.Second))
}

func told(t *testing.T, err error, want string, never ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", want)
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("got %q, want it to say %q", err, want)
	}
	for _, secret := range never {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows a password: %v", err)
		}
	}
}

func TestEachFaultOfSecurityIsTold(t *testing.T) {
	t.Parallel()
	a, other := tlstest.New(t), tlstest.New(t)
	strangerCert, strangerKey := other.Issue("stranger", 4, time.Hour)
	with := func(s Security, ca string) Security { s.CAFile = ca; return s }
	tlsUsers := func() []kfake.Opt { return append(users(), kfake.TLS(a.Serving(false, time.Hour))) }
	for name, c := range map[string]struct {
		opts     []kfake.Opt
		security Security
		want     string
	}{
		"wrong password, scram":        {tlsUsers(), with(login(SASLScramSHA512, appUser, "wrong-one"), a.File), "refuse the login of app by scram-sha-512"},
		"wrong password, plain":        {tlsUsers(), with(login(SASLPlain, appUser, "wrong-one"), a.File), "refuse the login of app by plain"},
		"unknown user":                 {tlsUsers(), with(login(SASLScramSHA256, "nosuch", "wrong-one"), a.File), "refuse the login of nosuch"},
		"no login where one is wanted": {tlsUsers(), Security{CAFile: a.File}, "may want a login (CARDATA_KAFKA_SASL)"},
		"another authority":            {tlsUsers(), with(login(SASLPlain, appUser, "wrong-one"), other.File), "CARDATA_KAFKA_CA_FILE does not hold the server's authority"},
		"the system's authorities":     {tlsUsers(), Security{TLS: true}, "name the server's authority by CARDATA_KAFKA_CA_FILE"},
		"plain to a TLS port":          {tlsUsers(), Security{}, "may want TLS"},
		"another host":                 {[]kfake.Opt{kfake.TLS(a.Serving(false, time.Hour, "kafka.example"))}, Security{CAFile: a.File}, "certificate is for other names"},
		"expired":                      {[]kfake.Opt{kfake.TLS(a.Serving(false, -time.Minute))}, Security{CAFile: a.File}, "renew the server's certificate"},
		"no client certificate":        {[]kfake.Opt{kfake.TLS(a.Serving(true, time.Hour))}, Security{CAFile: a.File}, "CARDATA_KAFKA_CERT_FILE"},
		"a stranger's certificate":     {[]kfake.Opt{kfake.TLS(a.Serving(true, time.Hour))}, Security{CAFile: a.File, CertFile: strangerCert, KeyFile: strangerKey}, "CARDATA_KAFKA_CERT_FILE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := secured(t, c.opts...)
			w.refuseLogins()
			told(t, w.firstError(c.security), c.want, "wrong-one")
		})
	}
	t.Run("TLS to a plain port", func(t *testing.T) {
		t.Parallel()
		w := &world{t: t, brokers: []string{hangsUp(t)}, logs: new(logBook)}
		told(t, w.firstError(Security{CAFile: a.File}), "the port does not speak TLS")
	})
}

func TestEachFaultIsToldOfARealBroker(t *testing.T) {
	t.Parallel()
	other := tlstest.New(t)
	w, s := realSecured(t, "CARDATA_TEST_KAFKA_SASL")
	good := realUser(s, SASLScramSHA512, "CARDATA_TEST_KAFKA_USER", "CARDATA_TEST_KAFKA_PASSWORD")
	change := func(f func(*Security)) Security { c := good; f(&c); return c }
	for name, c := range map[string]struct {
		security Security
		want     string
	}{
		"wrong password, scram": {change(func(s *Security) { s.Password = "wrong-one" }), "refuse the login of"},
		"wrong password, plain": {change(func(s *Security) { s.Password = "wrong-one"; s.SASL = SASLPlain }), "refuse the login of"},
		"no login":              {Security{CAFile: s.CAFile}, "may want a login"},
		"another authority":     {change(func(s *Security) { s.CAFile = other.File }), "CARDATA_KAFKA_CA_FILE does not hold"},
		"plain to a TLS port":   {Security{}, "may want TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told(t, (&world{t: t, brokers: w.brokers, logs: new(logBook)}).firstError(c.security), c.want, "wrong-one")
		})
	}
	t.Run("TLS to a plain port", func(t *testing.T) {
		t.Parallel()
		onReal(t, func(w *world) { told(t, w.firstError(Security{CAFile: s.CAFile}), "the port does not speak TLS") })
	})
	t.Run("no client certificate", func(t *testing.T) {
		t.Parallel()
		w, s := realSecured(t, "CARDATA_TEST_KAFKA_MTLS")
		told(t, w.firstError(s), "CARDATA_KAFKA_CERT_FILE")
	})
}

func TestAWrongPasswordNeedsAPerson(t *testing.T) {
	t.Parallel()
	w := secured(t, users()...)
	w.refuseLogins()
	c := w.client(func(cfg *Config) { cfg.Security = login(SASLScramSHA512, appUser, "wrong-one") })
	ctx := w.ctx(20 * time.Second)
	for what, err := range map[string]error{
		"create topics": c.EnsureTopics(ctx, []Topic{{Name: "t", Partitions: 1}}),
		"produce":       c.NewProducer(ProducerConfig{}).Produce(ctx, numbered("t", 1, 0, 1)),
		"consume": c.Consume(ctx, ConsumerConfig{Group: "g", Topics: []string{"t"}}, func(context.Context, string, int, []pipeline.Record) error {
			return nil
		}),
	} {
		if !isWriteError(err, pipeline.Fatal) {
			t.Errorf("%s: got %v, want it Fatal", what, err)
			continue
		}
		told(t, err, "refuse the login of app", "wrong-one")
	}
	if w.logs.count("wrong-one") > 0 {
		t.Error("the password is in the log")
	}
}

func TestRefusalsNameResourceRightAndUser(t *testing.T) {
	t.Parallel()
	const rights = "Write, Describe on topics cardata.*"
	refused := func(t *testing.T, w *world, s Security, topic, group string, create, write, read string) {
		t.Helper()
		c := w.client(func(cfg *Config) { cfg.Security = s; cfg.Rights = rights })
		ctx := w.ctx(30 * time.Second)
		to := " to User:" + s.User
		if create != "" {
			err := c.EnsureTopics(ctx, []Topic{{Name: topic, Partitions: 1, Replication: 1}})
			if !isWriteError(err, pipeline.Fatal) {
				t.Errorf("create: got %v, want it Fatal", err)
			}
			told(t, err, "not allowed to "+create+" topic "+topic+": grant "+rights+to)
			told(t, c.Ping(ctx), "not allowed to "+create)
		}
		if write != "" {
			err := c.NewProducer(ProducerConfig{}).Produce(ctx, numbered(topic, 1, 0, 1))
			if !isWriteError(err, pipeline.Fatal) {
				t.Errorf("produce: got %v, want it Fatal", err)
			}
			told(t, err, "not allowed to Write "+write+": grant "+rights+to)
			told(t, c.Ping(ctx), "not allowed to Write") // as /readyz says it
		}
		err := c.Consume(ctx, ConsumerConfig{Group: group, Topics: []string{topic}}, func(context.Context, string, int, []pipeline.Record) error { return nil })
		if !isWriteError(err, pipeline.Fatal) {
			t.Errorf("consume: got %v, want it Fatal", err)
		}
		told(t, err, "not allowed to Read "+read+": grant "+rights+to)
	}
	s := login(SASLScramSHA512, newUser, newPassword)
	topics, groups := kmsg.ACLResourceTypeTopic, kmsg.ACLResourceTypeGroup
	seed := kfake.SeedTopics(1, "t")
	t.Run("nothing", func(t *testing.T) {
		t.Parallel()
		refused(t, secured(t, append(users(), seed)...), s, "t", "g", "Describe", "topic t", "group g")
	})
	t.Run("no write, no group", func(t *testing.T) {
		t.Parallel()
		refused(t, secured(t, append(users(may(topics, kmsg.ACLOperationRead)), seed)...), s, "t", "g", "", "topic t", "group g")
	})
	t.Run("no read", func(t *testing.T) {
		t.Parallel()
		refused(t, secured(t, append(users(may(topics, kmsg.ACLOperationWrite), may(groups, kmsg.ACLOperationRead)), seed)...), s, "t", "g", "", "", "topic t")
	})
	t.Run("real", func(t *testing.T) {
		w, r := realSecured(t, "CARDATA_TEST_KAFKA_SASL")
		boss := w.client(func(cfg *Config) {
			cfg.Security = realUser(r, SASLScramSHA512, "CARDATA_TEST_KAFKA_USER", "CARDATA_TEST_KAFKA_PASSWORD")
		})
		topic := w.topic(boss, 1)
		group := w.name()
		refused(t, w, realUser(r, SASLScramSHA512, "CARDATA_TEST_KAFKA_NOBODY_USER", "CARDATA_TEST_KAFKA_NOBODY_PASSWORD"), topic, group,
			"Describe", "topic "+topic, "group "+group)
	})
}

// Topics that others made need no right to create, and keep what they have.
func TestTopicsOfOthersNeedNoRightToCreate(t *testing.T) {
	t.Parallel()
	w := secured(t, append(users(may(kmsg.ACLResourceTypeTopic, kmsg.ACLOperationWrite)), kfake.SeedTopics(5, "t"))...)
	c := w.client(func(cfg *Config) { cfg.Security = login(SASLPlain, newUser, newPassword) })
	if err := c.EnsureTopics(w.ctx(10*time.Second), []Topic{{Name: "t", Partitions: 3, Replication: 3, Retention: time.Hour}}); err != nil {
		t.Fatal(err)
	}
	if w.logs.count("another number of partitions") != 1 {
		t.Error("the difference is not logged")
	}
}

// Topics that we may not create are waited for: someone else may be about to.
func TestMissingTopicsThatOthersCreateAreAwaited(t *testing.T) {
	t.Parallel()
	w := secured(t, users(may(kmsg.ACLResourceTypeTopic, kmsg.ACLOperationWrite))...)
	c := w.client(func(cfg *Config) { cfg.Security = login(SASLPlain, newUser, newPassword) })
	done := make(chan error, 1)
	go func() {
		done <- c.EnsureTopics(w.ctx(30*time.Second), []Topic{{Name: "late", Partitions: 1, Replication: 1}})
	}()
	eventually(t, "the refusal is logged", func() bool { return w.logs.count("not allowed to Create topic late") > 0 })
	boss := w.client(func(cfg *Config) { cfg.Security = login(SASLPlain, appUser, appPassword) })
	if err := boss.EnsureTopics(w.ctx(10*time.Second), []Topic{{Name: "late", Partitions: 1, Replication: 1}}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A client takes up the authority and the certificate that the brokers changed
// to, without a restart.
func TestRotatedFilesServeTheNextConnection(t *testing.T) {
	t.Parallel()
	first, second := tlstest.New(t), tlstest.New(t)
	old, fresh := secured(t, kfake.TLS(first.Serving(true, time.Hour))), secured(t, kfake.TLS(second.Serving(true, time.Hour)))
	certFile, keyFile := first.Issue("client", 3, time.Hour)
	s := Security{CAFile: first.File, CertFile: certFile, KeyFile: keyFile}
	var broker atomic.Value
	broker.Store(old.brokers[0])
	c := old.client(func(cfg *Config) {
		cfg.Security = s
		cfg.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, broker.Load().(string))
		}
	})
	if err := c.Ping(old.ctx(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	newCert, newKey := second.Issue("client", 4, time.Hour)
	for from, to := range map[string]string{second.File: first.File, newCert: certFile, newKey: keyFile} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	broker.Store(fresh.brokers[0])
	old.cluster.Close()
	eventually(t, "the new broker is reached", func() bool { return c.Ping(old.ctx(5*time.Second)) == nil })
}

func TestFaultsOfSecurityComeAllAtOnce(t *testing.T) {
	t.Parallel()
	a := tlstest.New(t)
	certFile, keyFile := a.Issue("client", 3, time.Hour)
	_, otherKey := a.Issue("other", 4, time.Hour)
	junk := filepath.Join(t.TempDir(), "junk.pem")
	if err := os.WriteFile(junk, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		security Security
		want     []string
	}{
		"nothing":       {Security{}, nil},
		"all well":      {Security{TLS: true, CAFile: a.File, CertFile: certFile, KeyFile: keyFile, SASL: SASLPlain, User: "u", Password: "p"}, nil},
		"mechanism":     {Security{SASL: "kerberos", User: "u", Password: "p"}, []string{`CARDATA_KAFKA_SASL="kerberos"`}},
		"only a user":   {Security{User: "u", CertFile: certFile}, []string{"CARDATA_KAFKA_USER", "CARDATA_KAFKA_KEY_FILE"}},
		"no user":       {Security{SASL: SASLPlain}, []string{"CARDATA_KAFKA_USER", "CARDATA_KAFKA_PASSWORD"}},
		"only a key":    {Security{KeyFile: keyFile, Password: "hidden-one"}, []string{"CARDATA_KAFKA_CERT_FILE", "CARDATA_KAFKA_PASSWORD=redacted"}},
		"no PEM":        {Security{CAFile: junk, CertFile: junk, KeyFile: keyFile}, []string{"CARDATA_KAFKA_CA_FILE", "CARDATA_KAFKA_CERT_FILE"}},
		"no file":       {Security{CAFile: "/none", CertFile: "/none", KeyFile: "/none"}, []string{"CARDATA_KAFKA_CA_FILE", "CARDATA_KAFKA_CERT_FILE", "CARDATA_KAFKA_KEY_FILE"}},
		"another key":   {Security{CertFile: certFile, KeyFile: otherKey}, []string{"that fits CARDATA_KAFKA_KEY_FILE"}},
		"bad character": {Security{SASL: SASLScramSHA512, User: "u", Password: "hidden-one\u0007"}, []string{"characters that SCRAM forbids"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := New(Config{Brokers: []string{"h:1"}, Security: c.security})
			if (err == nil) != (c.want == nil) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			for _, want := range c.want {
				told(t, err, want, "hidden-one")
			}
		})
	}
}
