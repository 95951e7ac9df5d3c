// Program main uses the client that the test generates beside it.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	log.SetFlags(0)
	if err := run(context.Background(), os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, server string) error {
	c, err := NewClientWithResponses(server)
	if err != nil {
		return err
	}
	for name, use := range map[string]func(context.Context, *ClientWithResponses) error{"token": useToken, "store": useStore, "delay": useDelay, "errors": useErrors, "admin": useAdmin} {
		if err := use(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// useToken gets a token and has it validated.
func useToken(ctx context.Context, c *ClientWithResponses) error {
	issued, err := c.PostTokenWithTextBodyWithResponse(ctx, "ann")
	if err != nil || issued.JSON200 == nil {
		return fmt.Errorf("no token: %v %+v", err, issued)
	}
	bearer := func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+issued.JSON200.Token)
		return nil
	}
	valid, err := c.GetTokenValidateWithResponse(ctx, bearer)
	if err != nil || valid.JSON200 == nil || valid.JSON200.TokenName != "ann" {
		return fmt.Errorf("not validated: %v %+v", err, valid)
	}
	refused, err := c.GetTokenValidateWithResponse(ctx)
	if err != nil || refused.JSON401 == nil || refused.JSON401.Code != http.StatusUnauthorized || refused.JSON401.Message == "" {
		return fmt.Errorf("validated without a token: %v %+v", err, refused)
	}
	return nil
}

// useStore stores a file and reads it.
func useStore(ctx context.Context, c *ClientWithResponses) error {
	stored, err := c.PostStoreWithTextBodyWithResponse(ctx, "content")
	if err != nil || stored.JSON202 == nil {
		return fmt.Errorf("not stored: %v %+v", err, stored)
	}
	read, err := c.GetStoreByHashWithResponse(ctx, stored.JSON202.Hash)
	if err != nil || string(read.Body) != "content" {
		return fmt.Errorf("not read: %v %+v", err, read)
	}
	return nil
}

// useDelay has responses delayed.
func useDelay(ctx context.Context, c *ClientWithResponses) error {
	delayed, err := c.GetDelayBySecondsWithResponse(ctx, "20ms")
	if err != nil || delayed.JSON200 == nil || delayed.JSON200.Delay != 0.02 {
		return fmt.Errorf("not delayed: %v %+v", err, delayed)
	}
	chunked, err := c.GetChunkedBySecondsWithResponse(ctx, "0")
	if err != nil || chunked.JSON200 == nil || chunked.JSON200.Delay != 0 {
		return fmt.Errorf("not chunked: %v %+v", err, chunked)
	}
	return nil
}

// useAdmin sends bodies of JSON, and deletes what it made.
func useAdmin(ctx context.Context, c *ClientWithResponses) error {
	for _, on := range []bool{false, true} {
		state, err := c.PutUiAdminModulesByNameWithResponse(ctx, "chunked", PutUiAdminModulesByNameJSONRequestBody{On: on})
		if err != nil || state.JSON200 == nil || (state.JSON200.Modules["chunked"] == "on") != on {
			return fmt.Errorf("not switched: %v %+v", err, state)
		}
	}
	path, status := "/version", 418
	rule := PutUiAdminFaultsRulesByNameJSONRequestBody{Name: "teapot", Match: &ScenarioMatch{Path: &path}, Fault: &ScenarioFault{Status: &status}}
	added, err := c.PutUiAdminFaultsRulesByNameWithResponse(ctx, rule.Name, rule)
	if err != nil || added.JSON200 == nil || added.JSON200.Faults == nil || added.JSON200.Faults.Rules[0].Name != rule.Name {
		return fmt.Errorf("no rule: %v %+v", err, added)
	}
	hit, err := c.GetVersionWithResponse(ctx)
	if err != nil || hit.StatusCode() != status {
		return fmt.Errorf("the rule does not hit: %v %+v", err, hit)
	}
	removed, err := c.DeleteUiAdminFaultsRulesByNameWithResponse(ctx, rule.Name)
	if err != nil || removed.JSON200 == nil || len(removed.JSON200.Faults.Rules) != 0 {
		return fmt.Errorf("not removed: %v %+v", err, removed)
	}
	return nil
}

// useErrors gets a status that the document does not name, and an error.
func useErrors(ctx context.Context, c *ClientWithResponses) error {
	status, err := c.GetStatusByCodeWithResponse(ctx, "503")
	if err != nil || status.JSONDefault == nil || status.JSONDefault.Status != http.StatusServiceUnavailable {
		return fmt.Errorf("no status: %v %+v", err, status)
	}
	problem, err := c.GetDelayBySecondsWithResponse(ctx, "9999h")
	if err != nil || problem.JSON400 == nil || problem.JSON400.Code != http.StatusBadRequest || problem.JSON400.Message == "" {
		return fmt.Errorf("no error: %v %+v", err, problem)
	}
	return nil
}
