package simulator

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// rest is the Customer API (CarData API, sections "REST" and "Simulator
// specification").
type rest struct {
	s         *Simulator
	catalogue *schema.Catalogue

	mu    sync.Mutex // guards calls
	calls map[schema.GCID]map[string]int
}

func newREST(s *Simulator) *rest {
	return &rest{s: s, catalogue: schema.Default(), calls: make(map[schema.GCID]map[string]int)}
}

// The operations, as Simulator.RESTCalls names them.
const (
	opMappings        = "mappings"
	opBasicData       = "basicData"
	opTelematicData   = "telematicData"
	opChargingHistory = "chargingHistory"
	opSettings        = "locationBasedChargingSettings"
	opTyres           = "smartMaintenanceTyreDiagnosis"
	opImage           = "image"
	opListContainers  = "listContainers"
	opCreateContainer = "createContainer"
	opGetContainer    = "getContainer"
	opDeleteContainer = "deleteContainer"
)

// register adds the paths of CarData API, section "Endpoints".
func (a *rest) register(mux *http.ServeMux) {
	const vehicles, containers = "/customers/vehicles/", "/customers/containers"
	for _, e := range []struct {
		pattern, op string
		serve       func(*call) *restError
	}{
		{"GET " + vehicles + "mappings", opMappings, (*call).mappings},
		{"GET " + vehicles + "{vin}/basicData", opBasicData, (*call).basicData},
		{"GET " + vehicles + "{vin}/telematicData", opTelematicData, (*call).telematicData},
		{"GET " + vehicles + "{vin}/chargingHistory", opChargingHistory, (*call).chargingHistory},
		{"GET " + vehicles + "{vin}/locationBasedChargingSettings", opSettings, (*call).settings},
		{"GET " + vehicles + "{vin}/smartMaintenanceTyreDiagnosis", opTyres, (*call).tyres},
		{"GET " + vehicles + "{vin}/image", opImage, (*call).image},
		{"GET " + containers, opListContainers, (*call).listContainers},
		{"POST " + containers, opCreateContainer, (*call).createContainer},
		{"GET " + containers + "/{containerId}", opGetContainer, (*call).getContainer},
		{"DELETE " + containers + "/{containerId}", opDeleteContainer, (*call).deleteContainer},
	} {
		mux.HandleFunc(e.pattern, func(w http.ResponseWriter, r *http.Request) { a.answer(e.op, e.serve, w, r) })
	}
}

// call is one request that is being answered.
type call struct {
	api     *rest
	s       *Simulator
	op      string
	w       http.ResponseWriter
	r       *http.Request
	now     time.Time
	faults  Faults
	account *account
	vin     schema.VIN // of a data call, checked
}

// answer checks a request in the service's order and serves it.
func (a *rest) answer(op string, serve func(*call) *restError, w http.ResponseWriter, r *http.Request) {
	a.s.Stats.RESTRequests.Add(1)
	c := &call{api: a, s: a.s, op: op, w: w, r: r, now: time.Now(), faults: a.s.faults.get()}
	if !c.wait(r.Context()) {
		return
	}
	fail := c.authorise()
	if fail == nil {
		fail = a.s.book(c)
	}
	if fail == nil && c.misbehave() {
		return
	}
	if fail == nil {
		fail = c.checkVIN()
	}
	if fail == nil {
		fail = serve(c)
	}
	if fail != nil {
		c.refuse(fail)
	}
}

// wait holds the answer back; false means that the client has gone.
func (c *call) wait(ctx context.Context) bool {
	if c.faults.RESTDelay <= 0 {
		return true
	}
	timer := time.NewTimer(c.faults.RESTDelay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// authorise checks what comes before the quota: header, token, scope.
func (c *call) authorise() *restError {
	if c.r.Header.Get("x-version") != "v1" {
		return refusal(http.StatusBadRequest, "CU-400", "Bad request: header x-version is missing or not supported")
	}
	a, token, fail := c.s.bearer(c.r.Header.Get("Authorization"), c.now)
	if fail == nil && c.s.faults.take(func(f *Faults) *int { return &f.RESTTokenRefused }) {
		fail = refusal(http.StatusUnauthorized, "CU-102", "Access token expired")
	}
	if fail != nil {
		if c.faults.RESTGateway127 {
			fail = refusal(http.StatusForbidden, "CU-127", "invalid_token")
			fail.Note = "The access token is invalid or has expired"
		}
		return fail
	}
	c.account = a
	if !slices.Contains(strings.Fields(token.Scope), scopeAPI) {
		return refusal(http.StatusForbidden, "CU-103", "The token is not authorised for the CarData API")
	}
	return nil
}

// checkVIN checks the car of a data call.
func (c *call) checkVIN() *restError {
	text := c.r.PathValue("vin")
	if text == "" {
		return nil
	}
	vin, err := schema.ParseVIN(text)
	if err != nil {
		return refusal(http.StatusBadRequest, "CU-120", "Format of parameter VIN is invalid")
	}
	_, own := c.account.Models[vin]
	if !own || slices.Contains(c.faults.Secondary, vin) || slices.Contains(c.faults.NoTelematics, vin) {
		return refusal(http.StatusForbidden, "CU-104", "The VIN is not mapped to the user as primary, or is not telematics capable")
	}
	c.vin = vin
	return nil
}

// bearer finds who an Authorization header speaks for.
func (s *Simulator) bearer(header string, now time.Time) (*account, access, *restError) {
	text, ok := strings.CutPrefix(header, "Bearer ")
	if !ok || text == "" {
		return nil, access{}, refusal(http.StatusUnauthorized, "CU-100", "No access token was sent")
	}
	token, err := s.signer.unseal(text)
	a := s.byGCID[string(token.GCID)]
	switch {
	case err != nil, a == nil, token.Serial <= s.store.get(token.GCID).Revoked:
		return nil, access{}, refusal(http.StatusUnauthorized, "CU-101", "Authentication error")
	case now.Unix() >= token.Expires:
		return nil, access{}, refusal(http.StatusUnauthorized, "CU-102", "Access token expired")
	}
	return a, token, nil
}

// unseal reads what seal made.
func (s *signer) unseal(token string) (access, error) {
	var a access
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) < sha256.Size {
		return a, errTokenForm
	}
	m := hmac.New(sha256.New, s.secret[:])
	m.Write(raw[sha256.Size:])
	if !hmac.Equal(m.Sum(nil), raw[:sha256.Size]) {
		return a, errTokenSignature
	}
	if err := json.Unmarshal(raw[sha256.Size:], &a); err != nil {
		return a, fmt.Errorf("read access token: %w", err)
	}
	return a, nil
}

// notFound answers every path that the service does not have.
func (s *Simulator) notFound(w http.ResponseWriter, _ *http.Request) {
	s.Stats.NotFound.Add(1)
	fail := refusal(http.StatusNotFound, "CU-400", "Resource not found")
	fail.Note = "The requested path does not exist"
	s.writeError(w, fail)
}
