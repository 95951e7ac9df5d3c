package main

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/faultclient"
)

// watch calls round at once, in intervals and when a pod changes, until ctx or the
// duration ends. The members are up to date at each call.
func (f *fleet) watch(ctx context.Context, w *watchFlags, round func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if w.duration > 0 {
		end := time.AfterFunc(w.duration, cancel)
		defer end.Stop()
	}
	round() // before the watch, which may take a moment
	changes := make(chan struct{}, 1)
	store, err := f.cluster.follow(ctx, f.flags.timeout, func() {
		select {
		case changes <- struct{}{}:
		default: // there will be a round anyway
		}
	}, func(err error) {
		if ctx.Err() != nil {
			return // the watch has ended
		}
		fmt.Fprintln(f.errs, faultclient.OneLine("the API server does not tell of changes of pods, trying again: "+err.Error()))
	})
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	tick := time.NewTicker(w.interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-changes:
		case <-ctx.Done():
			return nil
		}
		var pods []*v1.Pod
		for _, o := range store.List() {
			pods = append(pods, o.(*v1.Pod))
		}
		if err := f.update(pods); err != nil {
			return err
		}
		round()
	}
}
