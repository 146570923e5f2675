package simulator

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const mileageKey = schema.Descriptor("vehicle.vehicle.travelledDistance")

func TestContainersLive(t *testing.T) {
	s := startTest(t, Config{Seed: 1, Accounts: 2, Cars: 1, Quota: 1000, Dir: newDir(t)})
	account := s.Accounts()[0]
	c := newRESTClient(t, s)
	var made containerBody
	a := c.do(http.MethodPost, "/customers/containers", createRequest{"latest", "gap repair", []schema.Descriptor{mileageKey}})
	a.into(t, &made)
	if a.status != http.StatusCreated || !containerForm(made.ID) || made.State != stateActive || made.Name != "latest" || len(made.Keys) != 1 {
		t.Fatalf("created %d %+v; want 201 with the request's content and an id of 13 characters", a.status, made)
	}
	path := "/customers/containers/" + made.ID
	var got containerBody
	a = c.get(path)
	a.into(t, &got)
	if fmt.Sprint(got) != fmt.Sprint(made) {
		t.Errorf("got %+v, created %+v", got, made)
	}
	data := vinPath(account.VINs[0], "telematicData?containerId="+made.ID)
	if a := c.get(data); a.status != http.StatusOK {
		t.Errorf("telematicData: %d %s", a.status, a.text)
	}
	other := s.Accounts()[1]
	foreign, _ := s.AddContainer(other.GCID, "theirs", "else", []schema.Descriptor{mileageKey})
	for method, answer := range map[string]restAnswer{"get": c.get("/customers/containers/" + foreign.ID), "delete": c.do(http.MethodDelete, "/customers/containers/"+foreign.ID, nil)} {
		if answer.status != http.StatusForbidden || answer.code != "CU-105" {
			t.Errorf("%s another account's container: %d %s, want 403 CU-105", method, answer.status, answer.code)
		}
	}
	if a := c.do(http.MethodDelete, path, nil); a.status != http.StatusNoContent || len(a.text) != 0 {
		t.Errorf("delete: %d %s, want 204 and nothing", a.status, a.text)
	}
	if a := c.do(http.MethodDelete, path, nil); a.status != http.StatusBadRequest || a.code != "CU-122" {
		t.Errorf("delete again: %d %s, want 400 CU-122", a.status, a.code)
	}
	for _, p := range []string{path, data} {
		if a := c.get(p); a.status != http.StatusForbidden || a.code != "CU-105" {
			t.Errorf("GET %s of a deleted container: %d %s, want 403 CU-105", p, a.status, a.code)
		}
	}
	var list struct{ Containers []containerBody }
	a = c.get("/customers/containers")
	a.into(t, &list)
	if len(list.Containers) != 1 || list.Containers[0].State != stateDeleted || strings.Contains(string(a.text), "technicalDescriptors") {
		t.Errorf("list %s; want the deleted one, without descriptors", a.text)
	}
	s.SetFaults(Faults{RESTStrict: true, ContainerGone404: true})
	a = c.get("/customers/containers")
	a.into(t, &list)
	if len(list.Containers) != 0 {
		t.Errorf("strict list %s, want none", a.text)
	}
	if a := c.get(path); a.status != http.StatusNotFound {
		t.Errorf("gone with 404: %d", a.status)
	}
	kept := c.container(mileageKey)
	dir := s.cfg.Dir
	s.Close()
	again := startTest(t, Config{Seed: 1, Accounts: 2, Cars: 1, Dir: dir})
	if all := again.Containers(account.GCID); len(all) != 2 || all[1].ID != kept || len(all[1].Keys) != 1 {
		t.Errorf("after a restart %+v, want both", all)
	}
	if !again.DropContainer(account.GCID, kept) || again.DropContainer(account.GCID, kept) {
		t.Error("another tool deletes a container once")
	}
}

func TestDeletedContainersLeaveTheList(t *testing.T) {
	now := time.Now()
	all := []Container{
		{ID: "A", State: stateDeleted, Deleted: now.Add(-deletedFor)},
		{ID: "B", State: stateDeleted, Deleted: now.Add(time.Minute - deletedFor)},
		{ID: "C", State: stateActive},
	}
	if left := listed(all, now); len(left) != 2 || left[0].ID != "B" {
		t.Errorf("left %+v, want B and C", left)
	}
}

func TestContainersHaveLimits(t *testing.T) {
	s := startTest(t, Config{Seed: 1, Cars: 1, Quota: 1000})
	c := newRESTClient(t, s)
	create := func(keys ...schema.Descriptor) restAnswer {
		return c.do(http.MethodPost, "/customers/containers", createRequest{"n", "p", keys})
	}
	var many []schema.Descriptor
	for _, half := range everyKey(s) {
		many = append(many, half...)
	}
	for name, row := range map[string]struct {
		keys   []schema.Descriptor
		status int
		code   string
	}{
		"no key":              {nil, http.StatusBadRequest, "CU-400"},
		"an unknown key":      {[]schema.Descriptor{mileageKey, "vehicle.no.such.key"}, http.StatusBadRequest, "CU-402"},
		"a removed key":       {[]schema.Descriptor{"vehicle.learningNavigation"}, http.StatusBadRequest, "CU-402"},
		"the whole catalogue": {many, http.StatusForbidden, "CU-403"},
		"200 keys":            {many[:200], http.StatusCreated, ""},
	} {
		if a := create(row.keys...); a.status != row.status || a.code != row.code {
			t.Errorf("%s: %d %s, want %d %s", name, a.status, a.code, row.status, row.code)
		}
	}
	s.SetFaults(Faults{MaxKeys: 1, ContainerCreated200: true})
	if a := create(many[:2]...); a.code != "CU-403" {
		t.Errorf("two keys where one is allowed: %s, want CU-403", a.code)
	}
	if a := create(mileageKey); a.status != http.StatusOK {
		t.Errorf("created with %d, want 200", a.status)
	}
	s.SetFaults(Faults{})
	for range 8 {
		c.container(mileageKey)
	}
	if a := create(mileageKey); a.status != http.StatusForbidden || a.code != "CU-124" {
		t.Errorf("eleventh: %d %s, want 403 CU-124", a.status, a.code)
	}
	gcid := s.Accounts()[0].GCID
	if _, ok := s.AddContainer(gcid, "n", "p", many[:1]); ok {
		t.Error("another tool made an eleventh")
	}
	if a := c.do(http.MethodDelete, "/customers/containers/"+s.Containers(gcid)[3].ID, nil); a.status != http.StatusNoContent {
		t.Errorf("delete: %d", a.status)
	}
	s.SetFaults(Faults{CountDeleted: true})
	if a := create(mileageKey); a.code != "CU-124" {
		t.Errorf("with deleted ones counted: %s, want CU-124", a.code)
	}
	s.SetFaults(Faults{})
	if a := create(mileageKey); a.status != http.StatusCreated {
		t.Errorf("with room for one: %d %s", a.status, a.code)
	}
}

func TestCreationNeedsAForm(t *testing.T) {
	s := startTest(t, Config{Seed: 1, Cars: 1})
	c := newRESTClient(t, s)
	for _, body := range []any{"text", []int{1}, map[string]any{"name": 1}, createRequest{Name: "n", Keys: []schema.Descriptor{mileageKey}}} {
		if a := c.do(http.MethodPost, "/customers/containers", body); a.status != http.StatusBadRequest || a.code != "CU-400" {
			t.Errorf("body %v: %d %s, want 400 CU-400", body, a.status, a.code)
		}
	}
}
