package doctor

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const (
	remedyMapping = "add the car in the My BMW or MINI app as its main user, and confirm in the car; data come to the PRIMARY user alone"
	remedyPrimary = "this account is not the car's main user: log in with the main user's account, or become it in the My BMW or MINI app"
	remedyMarket  = "CarData is open in the EU, the EEA and the United Kingdom, and by report in Switzerland and Norway: " +
		"elsewhere expect neither stream nor REST data"
	remedySIM = "the car needs an active SIM and a running ConnectedDrive contract: renew it in the My BMW or MINI app or ask a dealer"
)

// vehicles asks which cars are the account's, for one REST call each account.
func (e *exam) vehicles(ctx context.Context) {
	for i := range e.patients {
		p := &e.patients[i]
		switch {
		case e.cfg.NoCalls:
			e.skip(stepVehicles, p.Label, "not asked: it costs a REST call of the day's 50", "run without --no-calls")
		case !p.login:
			e.skip(stepVehicles, p.Label, "not asked: no token", "")
		case !e.answered: // a call counts when it is tried
			e.skip(stepVehicles, p.Label, "not asked: the REST API cannot be reached", "")
		default:
			e.vehiclesOf(ctx, p)
		}
	}
}

func (e *exam) vehiclesOf(ctx context.Context, p *patient) {
	client, err := rest.New(rest.Config{
		BaseURL: e.cfg.RESTURL, HTTPClient: &http.Client{Transport: e.transport}, Timeout: e.cfg.Timeout, Log: e.log,
	}, p.Tokens, p.Budget)
	if err != nil {
		e.act(stepVehicles, p.Label, err.Error(), "correct CARDATA_REST_URL")
		return
	}
	client = client.WithUse(rest.UseOwner)
	mappings, err := client.Mappings(ctx)
	if err != nil {
		e.callFailed(p.Label, err)
		return
	}
	if len(mappings) == 0 {
		e.act(stepVehicles, p.Label, "no car belongs to the account (1 call spent)", remedyMapping)
		return
	}
	for _, m := range mappings {
		if !m.Primary() {
			e.act(stepVehicles, string(m.VIN), "mapped as "+m.Type+", which gets no data", remedyPrimary)
			continue
		}
		e.cars = append(e.cars, m.VIN)
		e.ok(stepVehicles, string(m.VIN), "mapped as PRIMARY (1 call spent for all cars)")
		if e.cfg.Cars {
			e.car(ctx, client, m.VIN)
		}
	}
}

// car looks at what API section 1.1 asks of a car.
func (e *exam) car(ctx context.Context, client *rest.Client, vin schema.VIN) {
	d, err := client.BasicData(ctx, vin)
	if err != nil {
		e.callFailed(string(vin), err)
		return
	}
	good := true
	wrong := func(text, remedy string) {
		good = false
		e.act(stepVehicles, string(vin), text, remedy)
	}
	if d.SIMStatus != "" && !strings.EqualFold(d.SIMStatus, "ACTIVE") {
		wrong("the car's SIM is "+d.SIMStatus, remedySIM)
	}
	if d.TelematicsCapable != nil && !*d.TelematicsCapable {
		wrong("the car cannot send data", remedySIM)
	}
	if d.CountryCode != "" && !slices.Contains(markets(), strings.ToUpper(d.CountryCode)) {
		good = false
		e.warn(stepVehicles, string(vin), "the car is registered for "+d.CountryCode, remedyMarket)
	}
	if strings.Contains(d.Brand, "Motorrad") {
		good = false
		e.warn(stepVehicles, string(vin), "a motorcycle has no stream", "use REST (backfill) for it")
	}
	if good {
		e.ok(stepVehicles, string(vin), "%s, SIM and market are fine (1 call spent)", d.ModelName)
	}
}

// callFailed tells a refused call: the code decides, never the status alone.
func (e *exam) callFailed(subject string, err error) {
	var remedy string
	r, ok := errors.AsType[*rest.Error](err)
	if ok {
		remedy = r.Remedy
	}
	text := strings.TrimSuffix(err.Error(), "; "+remedy)
	_, spent := errors.AsType[*rest.QuotaError](err)
	switch {
	case spent || ok && r.Kind == rest.KindQuota:
		if remedy == "" {
			remedy = "nothing to do: calls go on at 00:00 UTC by themselves"
		}
		e.warn(stepVehicles, subject, text, remedy)
	case ok && (r.Kind == rest.KindAuth || r.Kind == rest.KindScope || r.Kind == rest.KindVehicle):
		e.act(stepVehicles, subject, text, remedy)
	default:
		if remedy == "" {
			remedy = "try again later; if it stays, look at https://bmw-cardata.bmwgroup.com for a notice"
		}
		e.fail(stepVehicles, subject, text, remedy)
	}
}

// markets are the countries of CarData API, section 1.1: EU, EEA, UK, and those
// reported.
func markets() []string {
	return strings.Fields("AT BE BG HR CY CZ DK EE FI FR DE GR EL HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE IS LI NO CH GB UK")
}
