// Package liblog makes the libraries that log for the whole process log through
// logrus. They would write text to standard error.
package liblog

import (
	"fmt"
	"log"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc/grpclog"

	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
)

// Capture sets the loggers of the libraries and of package log. Only a program may
// call it, once, before it uses the libraries.
func Capture(l *logrus.Logger) {
	of := func(library string) *logrus.Entry { return l.WithField("library", library) }
	log.SetFlags(0)
	log.SetOutput(jsonlog.Std(of("log")).Writer()) // VictoriaMetrics and net/http use it
	grpclog.SetLoggerV2(grpcLogger{of("grpc")})
	captureOptional(of)
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
