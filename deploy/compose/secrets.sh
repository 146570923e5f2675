#!/bin/sh
# Makes .env beside docker-compose.yml from .env.example, with a fresh value for
# each secret. An .env that is there already is left alone.
#
#   deploy/compose/secrets.sh [FOLDER]
set -eu
folder=${1:-$(dirname "$0")/../..}
if [ -e "$folder/.env" ]; then
  echo "$folder/.env is there already; nothing is changed" >&2
  exit 1
fi
umask 077
secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
wanted=
while IFS= read -r line || [ -n "$line" ]; do
  case $line in
    '# secret:'*) wanted=yes ;;
    [A-Z]*=)
      if [ -n "$wanted" ]; then line=$line$(secret); fi
      wanted=
      ;;
  esac
  printf '%s\n' "$line"
done < "$folder/.env.example" > "$folder/.env.new"
mv "$folder/.env.new" "$folder/.env"
echo "wrote $folder/.env; Grafana's password is in it"
