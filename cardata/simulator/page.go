package simulator

import (
	"html/template"
	"net/http"
	"strings"
)

// page is the verification page: what a person sees at verification_uri.
type page struct {
	s    *Simulator
	view *template.Template
}

type pageContent struct {
	UserCode string
	Message  string
	Done     bool
}

const pageText = `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>CarData simulator: connect a device</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:15vh auto;padding:0 1rem;color:#222}
input,button{font:inherit;padding:.5rem .8rem;border:1px solid #999;border-radius:4px}
input{width:100%;box-sizing:border-box;letter-spacing:.2em;margin:.5rem 0 1rem;text-transform:uppercase}
button[value=approve]{background:#1c69d4;border-color:#1c69d4;color:#fff}</style>
<h1>Connect a device</h1>
{{if .Message}}<p role="status">{{.Message}}</p>{{end}}
{{if not .Done}}<form method="post" action="/oneid/link"><label>Code shown by the device
<input name="user_code" value="{{.UserCode}}" autocomplete="off" autofocus required></label>
<button name="decision" value="approve">Approve</button> <button name="decision" value="deny">Deny</button></form>{{end}}
<p><small>This is a simulated service. No real account is involved.</small></p></html>
`

func newPage(s *Simulator) *page {
	return &page{s: s, view: template.Must(template.New("link").Parse(pageText))}
}

func (p *page) show(w http.ResponseWriter, r *http.Request) {
	p.render(w, http.StatusOK, pageContent{UserCode: r.URL.Query().Get("user_code")})
}

func (p *page) decide(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	code := strings.TrimSpace(r.PostFormValue("user_code"))
	c := pageContent{UserCode: code}
	switch decision := r.PostFormValue("decision"); decision {
	case "approve", "deny":
		if p.s.Approve(code, decision == "approve") != nil {
			c.Message = "This code is not known or has expired."
			p.render(w, http.StatusNotFound, c)
			return
		}
		c.Done, c.Message = true, "Approved. The device can go on."
		if decision == "deny" {
			c.Message = "Denied. The device was told so."
		}
		p.render(w, http.StatusOK, c)
	default:
		c.Message = "Choose approve or deny."
		p.render(w, http.StatusBadRequest, c)
	}
}

func (p *page) render(w http.ResponseWriter, status int, c pageContent) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = p.view.Execute(w, c) // the browser is gone if this fails
}
