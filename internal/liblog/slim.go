//go:build podinfo_slim

package liblog

import "github.com/sirupsen/logrus"

func captureOptional(func(library string) *logrus.Entry) {}
