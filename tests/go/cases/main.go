package cases

import (
	"flag"
	"fmt"
	"os"
	"time"
)

// Main runs the cases that `give` makes for an endpoint, prints `ok <case>` or `FAILED <case>: <why>` for each, and exits with 1
// if any failed.
func Main(give func(endpoint string) []Case) {
	endpoint := flag.String("endpoint", "127.0.0.1:8080", "host and port")
	authority := flag.String("ca", "", "a file that says whom to trust over TLS")
	flag.Parse()
	if *authority != "" {
		// As a user would: the clients have no setting for it.
		os.Setenv("SSL_CERT_FILE", *authority)
	}
	failed := false
	for _, one := range give(*endpoint) {
		if err := one.Run(); err != nil {
			failed = true
			fmt.Printf("FAILED %s: %v\n", one.Name, err)
		} else {
			fmt.Printf("ok %s\n", one.Name)
		}
		time.Sleep(poll) // stays below ten launches a second
	}
	if failed {
		os.Exit(1)
	}
}
