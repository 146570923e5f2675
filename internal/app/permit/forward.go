package permit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Peers knows the other processes among which accounts are shared out.
type Peers interface {
	// Peer gives the base address of the endpoint that has the account; "" when it
	// is this one's or nobody's, or cannot be told.
	Peer(ctx context.Context, gcid schema.GCID) string
	// Others gives the base addresses of all other endpoints.
	Others() []string
}

// forwarded marks a request that came by another endpoint: it is answered here,
// so that two endpoints that disagree do not send it round in circles.
const forwarded = "Cardata-Forwarded"

// listTimeout bounds how long one silent peer holds up the list of accounts.
const listTimeout = 5 * time.Second

// Share makes the endpoint pass on what is asked of accounts that it has not. Call
// it before the first request.
func (e *Endpoint) Share(peers Peers) {
	e.peers = peers
	e.client = &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute}, // no proxy: peers are near
		Timeout:   askTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// pass answers a request about another process's account with what that one
// says. It is sent once: a booking must not be made twice.
func (e *Endpoint) pass(w http.ResponseWriter, r *http.Request) (passed bool) {
	if e.peers == nil || r.Method != http.MethodPost || r.Header.Get(forwarded) != "" {
		return false
	}
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	var q accountRequest
	if err != nil || json.Unmarshal(body, &q) != nil {
		return false // the request's own handler says what is wrong with it
	}
	list, _ := e.owner.List(r.Context())
	if _, ours := find(list, q.GCID); ours {
		return false
	}
	gcid, err := schema.ParseGCID(q.GCID)
	if err != nil {
		return false
	}
	base := e.peers.Peer(r.Context(), gcid)
	if base == "" {
		return false
	}
	res, err := e.ask(r.Context(), r.Method, base+r.URL.Path, body)
	if err != nil {
		e.Stats.PermitsRefused.Add(1)
		e.log.Warn("permit cannot be passed on", "gcid", gcid, "peer", base, "err", err)
		refuse(w, http.StatusServiceUnavailable, refusal{
			Code: codeUnavailable, Text: "the process that has the account does not answer", Remedy: "ask again; check CARDATA_PERMIT_ADVERTISE of the replicas",
		})
		return true
	}
	defer func() { _ = res.Body.Close() }()
	e.Stats.PermitsPassedOn.Add(1)
	w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(res.StatusCode)
	_, _ = io.Copy(w, io.LimitReader(res.Body, maxAnswer))
	return true
}

func (e *Endpoint) ask(ctx context.Context, method, url string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body)) //nolint:gosec // peers name their own addresses in the group
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", bearer+e.word)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(forwarded, "1")
	return e.client.Do(req) //nolint:gosec // as above
}

// gather adds the accounts of all peers to a list. One that does not answer is
// the list's trouble.
func (e *Endpoint) gather(ctx context.Context, body *accountsAnswer) {
	seen := make(map[string]bool)
	for _, a := range body.Accounts {
		seen[a.GCID] = true
	}
	for _, base := range e.peers.Others() {
		theirs, err := e.accountsOf(ctx, base)
		if err != nil {
			body.Trouble = joinText(body.Trouble, fmt.Sprintf("%s: %v", base, err))
			continue
		}
		body.Trouble = joinText(body.Trouble, theirs.Trouble)
		for _, a := range theirs.Accounts {
			if !seen[a.GCID] {
				seen[a.GCID] = true
				body.Accounts = append(body.Accounts, a)
			}
		}
	}
}

func (e *Endpoint) accountsOf(ctx context.Context, base string) (accountsAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	res, err := e.ask(ctx, http.MethodGet, base+pathAccounts, nil)
	if err != nil {
		return accountsAnswer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return accountsAnswer{}, fmt.Errorf("status %d", res.StatusCode)
	}
	var theirs accountsAnswer
	err = json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&theirs)
	return theirs, err
}

func joinText(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}
