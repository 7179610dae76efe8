set -e
# Each run makes the same calls: always a sleep, and no save of the server's own that `save` and `shutdown` would meet.
redis-server --port 7000 --dir /tmp --daemonize yes --save '3600 1' --appendonly yes >/dev/null
sleep 0.05
until [ "$(redis-cli -p 7000 ping 2>&1)" = PONG ]; do sleep 0.05; done
redis-cli -p 7000 set answer 42
redis-cli -p 7000 bgrewriteaof
until redis-cli -p 7000 info persistence | grep -q aof_rewrite_in_progress:0; do sleep 0.05; done
redis-benchmark -p 7000 -n 2000 -q -t set,lpush,lrange_100 >/dev/null
redis-cli -p 7000 eval 'return redis.call("get", "answer")' 0
redis-cli -p 7000 save
redis-cli -p 7000 shutdown
ls /tmp
