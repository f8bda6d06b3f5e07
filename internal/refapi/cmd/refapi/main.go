// Command refapi runs the reference Credit Cashflow Engine by itself; see
// [refapi.Main] for the variables that configure it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"soakd/internal/refapi"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := refapi.Main(ctx, os.Getenv, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "refapi:", err)
		os.Exit(1)
	}
}
