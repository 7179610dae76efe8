set -e
sqlite3 /tmp/a.db 'pragma journal_mode = wal; create table t (a); insert into t values (1), (2);'
sqlite3 /tmp/a.db 'select sum(a) from t; vacuum; pragma integrity_check;'
