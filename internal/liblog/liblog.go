// Package liblog makes the libraries that log for the whole process log through
// logrus. They would write text to standard error.
package liblog

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/go-logr/logr/funcr"
	"github.com/redis/go-redis/v9"
	"github.com/sirupsen/logrus"
	"go.opentelemetry.io/otel"
	"google.golang.org/grpc/grpclog"

	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
)

// Capture sets the loggers of the libraries and of package log. Only a program may
// call it, once, before it uses the libraries.
func Capture(l *logrus.Logger) {
	of := func(library string) *logrus.Entry { return l.WithField("library", library) }
	log.SetFlags(0)
	log.SetOutput(jsonlog.Std(of("log")).Writer()) // VictoriaMetrics and net/http use it
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		level := logrus.WarnLevel
		if errors.Is(err, context.Canceled) { // an export that the shutdown aborted, which the tracing module reports
			level = logrus.DebugLevel
		}
		of("opentelemetry").WithError(err).Log(level, "telemetry error")
	}))
	otel.SetLogger(funcr.New(func(_, text string) { of("opentelemetry").Warn(text) }, funcr.Options{Verbosity: 1})) // warnings are level 1
	grpclog.SetLoggerV2(grpcLogger{of("grpc")})
	redis.SetLogger(redisLogger{of("redis")})
}

type redisLogger struct{ *logrus.Entry }

// Printf implements the interface of go-redis.
func (l redisLogger) Printf(ctx context.Context, format string, v ...any) {
	l.WithContext(ctx).Infof(format, v...)
}

// grpcLogger implements grpclog.LoggerV2. By default grpc-go shows only errors:
// its warnings are about single connections, and at level debug here.
type grpcLogger struct{ *logrus.Entry }

func (grpcLogger) Info(...any)          {}
func (grpcLogger) Infoln(...any)        {}
func (grpcLogger) Infof(string, ...any) {}

func (l grpcLogger) Warning(v ...any)                 { l.Debug(fmt.Sprint(v...)) }
func (l grpcLogger) Warningln(v ...any)               { l.Debugln(v...) }
func (l grpcLogger) Warningf(format string, v ...any) { l.Debugf(format, v...) }

// V reports whether a message of this verbosity is wanted.
func (grpcLogger) V(level int) bool { return level <= 0 }
