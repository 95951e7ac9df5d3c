//go:build !podinfo_slim

package liblog

import (
	"context"
	"errors"

	"github.com/go-logr/logr/funcr"
	"github.com/redis/go-redis/v9"
	"github.com/sirupsen/logrus"
	"go.opentelemetry.io/otel"
)

// captureOptional sets the loggers of the libraries that a build may leave out.
func captureOptional(of func(library string) *logrus.Entry) {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		level := logrus.WarnLevel
		if errors.Is(err, context.Canceled) { // an export that the shutdown aborted, which the tracing module reports
			level = logrus.DebugLevel
		}
		of("opentelemetry").WithError(err).Log(level, "telemetry error")
	}))
	otel.SetLogger(funcr.New(func(_, text string) { of("opentelemetry").Warn(text) }, funcr.Options{Verbosity: 1})) // warnings are level 1
	redis.SetLogger(redisLogger{of("redis")})
}

type redisLogger struct{ *logrus.Entry }

// Printf implements the interface of go-redis.
func (l redisLogger) Printf(ctx context.Context, format string, v ...any) {
	l.WithContext(ctx).Infof(format, v...)
}
