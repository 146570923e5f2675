package kafka

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

// The users of the test brokers.
const (
	appUser, appPassword = "app", "appsecret"
	newUser, newPassword = "newcomer", "newsecret" // without any right
)

// secured starts a broker in this process.
func secured(t *testing.T, opts ...kfake.Opt) *world {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(100 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &world{t: t, cluster: c, brokers: c.ListenAddrs(), logs: new(logBook)}
}

// users gives a superuser and a user that has the rights given, by all mechanisms.
func users(acls ...kfake.ACL) []kfake.Opt {
	opts := []kfake.Opt{kfake.EnableSASL(), kfake.EnableACLs()}
	for _, method := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		opts = append(opts, kfake.Superuser(method, appUser, appPassword), kfake.User(method, newUser, newPassword, acls...))
	}
	return opts
}

// refuseLogins answers a login as Kafka refuses it; kfake only hangs up.
func (w *world) refuseLogins() {
	w.cluster.ControlKey(int16(kmsg.SASLAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
		return resp, nil, true
	})
}

// hangsUp gives the address of a port that reads a little and ends the
// connection, as Kafka does with what it does not understand.
func hangsUp(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() { // ends with l
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			conn.Close()
		}
	}()
	return l.Addr().String()
}

// may grants an operation on all topics, or all groups.
func may(kind kmsg.ACLResourceType, op kmsg.ACLOperation) kfake.ACL {
	return kfake.ACL{Resource: kind, Name: "*", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true}
}

func login(mechanism, user, password string) Security {
	return Security{SASL: mechanism, User: user, Password: pipeline.Secret(password)}
}

// realSecured gives the real broker that a variable names, with the authority
// that all of them have.
func realSecured(t *testing.T, variable string) (*world, Security) {
	t.Helper()
	get := func(name string) string {
		v := os.Getenv(name)
		if v == "" {
			if os.Getenv("CARDATA_TEST_REQUIRE") == "1" {
				t.Fatalf("%s is not set but required", name)
			}
			t.Skipf("%s is not set", name)
		}
		return v
	}
	w := &world{t: t, brokers: strings.Split(get(variable), ","), logs: new(logBook)}
	return w, Security{CAFile: get("CARDATA_TEST_KAFKA_CA")}
}

// realUser gives user and password from the environment.
func realUser(s Security, mechanism, user, password string) Security {
	s.SASL, s.User, s.Password = mechanism, os.Getenv(user), pipeline.Secret(os.Getenv(password))
	return s
}
