// Package compose holds no code but the tests of docker-compose.yml: it is loaded
// by the compose specification's own loader, and its commands, variables and
// health checks are run as processes of this machine.
package compose
