set -e
export PGDATA=/tmp/data PATH="/usr/lib/postgresql/$(ls /usr/lib/postgresql)/bin:$PATH"
initdb --auth=trust >/tmp/out 2>&1 || { cat /tmp/out; exit 1; }
pg_ctl -w -o '-k /tmp -h 127.0.0.1' -l /tmp/log start >/dev/null
sql() {
	psql -h "$1" -d postgres -qAt -c "$2"
}
sql /tmp 'create table t (a int); insert into t select generate_series(1, 1000)'
sql 127.0.0.1 'select sum(a) from t'
sql /tmp 'create index on t (a); vacuum analyze t; select count(*) from t where a > 500'
pg_ctl -w stop >/dev/null
