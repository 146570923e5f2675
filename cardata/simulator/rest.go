package simulator

import "net/http"

// restError is the body of every refusal of the Customer API (CarData API,
// section "REST", "Common").
type restError struct {
	ID   string `json:"exveErrorId"`
	Ref  string `json:"exveErrorRef"`
	Text string `json:"exveErrorMsg"`
	Note string `json:"exveNote"`
}

// notFound answers every path that the service does not have.
func (s *Simulator) notFound(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusNotFound, restError{
		ID:   "CU-400",
		Ref:  uuid(s.cfg.Seed, "error", int(s.Stats.NotFound.Add(1))),
		Text: "Resource not found",
		Note: "The requested path does not exist",
	})
}
