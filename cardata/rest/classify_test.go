package rest

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestEverySampleOfAnError(t *testing.T) {
	want := map[string]Kind{
		"error-400-CU-120-vin-format.json":            KindBug,
		"error-400-CU-125-page-token.json":            KindPageExpired,
		"error-400-CU-401-range.json":                 KindRange,
		"error-400-CU-402-key.json":                   KindUnknownKey,
		"error-401-CU-102-token-expired.json":         KindAuth,
		"error-403-CU-103-scope.json":                 KindScope,
		"error-403-CU-104-vin.json":                   KindVehicle,
		"error-403-CU-105-container.json":             KindContainerGone,
		"error-403-CU-124-container-limit.json":       KindContainerLimit,
		"error-403-CU-127-gateway-invalid-token.json": KindAuth,
		"error-403-CU-429-quota.json":                 KindQuota,
		"error-404-CU-126-no-image.json":              KindNoData,
		"error-404-CU-127-no-lbcs.json":               KindNoData,
		"error-500-CU-500.json":                       KindServer,
		"error-503-CU-503.json":                       KindTransient,
	}
	files, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := f.Name()
		if !strings.HasPrefix(name, "error-") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			about := aboutHistory
			if strings.Contains(name, "no-") || strings.Contains(name, "gateway") {
				about = aboutExtra
			}
			e := classify("ask", about, status(t, name), []byte(sample(t, name)), 0)
			if kind, known := want[name]; !known || e.Kind != kind {
				t.Errorf("kind = %s, want %s", e.Kind, kind)
			}
			if !strings.Contains(name, e.Code) || e.Reference == "" || e.Message == "" || e.Note == "" || e.Remedy == "" {
				t.Errorf("error lacks code, words or remedy: %+v", e)
			}
			for _, part := range []string{e.Code, e.Reference, e.Message, e.Remedy} {
				if !strings.Contains(e.Error(), part) {
					t.Errorf("%q lacks %q", e.Error(), part)
				}
			}
		})
	}
}

func TestClassify(t *testing.T) {
	const fault = `{"fault":{"faultstring":"x","detail":{"errorcode":"`
	tests := map[string]struct {
		about  subject
		status int
		body   string
		want   Kind
	}{
		"CU-401 outside the history is a bug":     {aboutVehicle, 400, `{"exveErrorId":"CU-401"}`, KindBug},
		"CU-403 on create is about the keys":      {aboutCreate, 403, `{"exveErrorId":"CU-403"}`, KindTooManyKeys},
		"CU-403 elsewhere is a missing right":     {aboutAccount, 403, `{"exveErrorId":"CU-403"}`, KindScope},
		"CU-127 of the gateway on any call":       {aboutHistory, 403, `{"exveErrorId":"CU-127"}`, KindAuth},
		"CU-127 of 403 without words on settings": {aboutExtra, 403, `{"exveErrorId":"CU-127"}`, KindAuth},
		"CU-127 of 403 with words on settings":    {aboutExtra, 403, `{"exveErrorId":"CU-127","exveErrorMsg":"No LBCS data found"}`, KindNoData},
		"CU-429 under any status":                 {aboutVehicle, 500, `{"exveErrorId":"cu-429"}`, KindQuota},
		"the quota by its words":                  {aboutVehicle, 403, `{"exveErrorMsg":"API rate limit reached"}`, KindQuota},
		"CU-100 is a bug":                         {aboutVehicle, 401, `{"exveErrorId":"CU-100"}`, KindBug},
		"CU-122 is gone soon":                     {aboutContainer, 400, `{"exveErrorId":"CU-122"}`, KindContainerGone},
		"an unknown code goes by the status":      {aboutVehicle, 503, `{"exveErrorId":"CU-777"}`, KindTransient},
		"gateway: stale token":                    {aboutVehicle, 401, fault + `keymanagement.service.invalid_access_token"}}}`, KindAuth},
		"gateway: a token blamed for its fault":   {aboutVehicle, 500, fault + `keymanagement.service.invalid_access_token"}}}`, KindTransient},
		"gateway: scope":                          {aboutVehicle, 403, fault + `steps.oauth.v2.InsufficientScope"}}}`, KindScope},
		"gateway: its own rate limit is no quota": {aboutVehicle, 429, fault + `policies.ratelimit.SpikeArrestViolation"}}}`, KindTransient},
		"gateway: backend down":                   {aboutVehicle, 500, fault + `messaging.adaptors.http.flow.ServiceUnavailable"}}}`, KindTransient},
		"gateway: 404 is a wrong address":         {aboutContainer, 404, fault + `messaging.adaptors.http.flow.ApplicationNotFound"}}}`, KindProtocol},
		"OAuth's body":                            {aboutVehicle, 401, `{"error":"invalid_token","error_description":"expired"}`, KindAuth},
		"429 without a code is no quota":          {aboutVehicle, 429, ``, KindTransient},
		"401 without a body":                      {aboutVehicle, 401, ``, KindAuth},
		"403 without a code comes in waves":       {aboutAccount, 403, `{}`, KindTransient},
		"404 of a container":                      {aboutContainer, 404, `{}`, KindContainerGone},
		"404 of telematic data is its container":  {aboutTelematic, 404, ``, KindContainerGone},
		"404 of an image":                         {aboutExtra, 404, ``, KindNoData},
		"404 of anything else is a wrong address": {aboutVehicle, 404, ``, KindProtocol},
		"500 without a body":                      {aboutVehicle, 500, ``, KindServer},
		"500 with a web page":                     {aboutVehicle, 500, `<html>`, KindTransient},
		"502":                                     {aboutVehicle, 502, `Bad Gateway`, KindTransient},
		"400 without a code":                      {aboutVehicle, 400, `{}`, KindBug},
		"wrong types in an error body":            {aboutVehicle, 403, `{"exveErrorId":["CU-429"],"exveErrorMsg":7,"exveNote":{}}`, KindTransient},
		"an error body that is a list":            {aboutVehicle, 503, `[1]`, KindTransient},
		"a code among other text":                 {aboutVehicle, 403, `error CU-429: rate limit`, KindQuota},
		"a number that is no code":                {aboutVehicle, 403, `error CU-42`, KindTransient},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := classify("ask", tc.about, tc.status, []byte(tc.body), time.Second)
			if e.Kind != tc.want || e.Remedy == "" || e.After != time.Second {
				t.Errorf("classify = %s, remedy %q, after %s; want %s", e.Kind, e.Remedy, e.After, tc.want)
			}
		})
	}
}

func TestForeignTextIsCleanedAndShortened(t *testing.T) {
	e := classify("ask", aboutVehicle, 500, []byte(`{"exveErrorId":"CU-500","exveErrorMsg":"\u001b[31mred\u202e`+strings.Repeat("é", 400)+`"}`), 0)
	if strings.ContainsAny(e.Message, "\x1b\u202e") || len(e.Message) > 210 {
		t.Errorf("message = %q", e.Message)
	}
}

func TestKindsHaveNames(t *testing.T) {
	for k := KindTransient; k <= KindProtocol; k++ {
		if strings.HasPrefix(k.String(), "kind_") {
			t.Errorf("kind %d has no name", k)
		}
	}
	if Kind(99).String() != "kind_99" || KindProtocol.String() != "protocol" {
		t.Errorf("names are off: %s, %s", Kind(99), KindProtocol)
	}
}
