package quickstart

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-4591fe7d/podinfo/podinfotest"
)

func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := podinfotest.StartInMemory(t)
		srv.Script("POST /pay", podinfotest.Fail(503, 2), podinfotest.Reset(), podinfotest.OK())

		for wait := time.Second; ; wait *= 2 { // in place of your client
			res, err := srv.Client().Post(srv.URL+"/pay", "application/json", nil)
			if err == nil {
				res.Body.Close()
			}
			if err == nil && res.StatusCode == 200 {
				break
			}
			time.Sleep(wait)
		}

		attempts := srv.Requests("POST /pay")
		attempts.WantAnswers(t, "503", "503", "cut", "200") // a reset is a real RST
		attempts.WantBackoff(t, 0, time.Second, 2*time.Second, 4*time.Second)
	})
}
