package auth

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestProcessesOnOneStoreRefreshOnce starts this test binary several times on
// one token file whose tokens have expired: a rotating service accepts the
// refresh token once, so more than one request would cost the login.
func TestProcessesOnOneStoreRefreshOnce(t *testing.T) {
	const base = "CARDATA_AUTH_TEST_URL"
	if os.Getenv(base) != "" {
		beOneProcess(t, os.Getenv(base))
		return
	}
	r := &rotating{n: 1}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		pause(100 * time.Millisecond)
		if err := req.ParseForm(); err != nil {
			t.Error(err)
		}
		a, _ := r.answer(req.URL.Path, req.PostForm)
		w.WriteHeader(a.StatusCode)
		_, _ = io.Copy(w, a.Body)
	}))
	defer srv.Close()
	set := setN(1)
	set.Obtained, set.Expires = set.Obtained.Add(-2*time.Hour), set.Expires.Add(-2*time.Hour)
	store := newStore(t, set)
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			cmd := exec.CommandContext(t.Context(), binary, "-test.run=^"+t.Name()+"$", "-test.v")
			cmd.Env = append(os.Environ(), base+"="+srv.URL)
			cmd.Dir = filepath.Dir(store.Path())
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "token=id-2") {
				t.Errorf("process: %v\n%s", err, out)
			}
		})
	}
	wg.Wait()
	if r.refreshes != 1 || stored(t, store) != "refresh-2" {
		t.Errorf("refreshes = %d, stored %s; want one and refresh-2", r.refreshes, stored(t, store))
	}
}

func beOneProcess(t *testing.T, base string) {
	t.Helper()
	c, err := New(Config{BaseURL: base})
	if err != nil {
		t.Fatal(err)
	}
	id, _, err := newSource(t, c, OpenStore(StorePath(".", testGCID))).IDToken(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("token=" + id)
}
