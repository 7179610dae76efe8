set -e
redis-server --port 7000 --dir /tmp --daemonize yes --save '1 1' --appendonly yes >/dev/null
until [ "$(redis-cli -p 7000 ping 2>&1)" = PONG ]; do sleep 0.05; done
redis-cli -p 7000 set answer 42
redis-cli -p 7000 bgrewriteaof
redis-benchmark -p 7000 -n 2000 -q -t set,lpush,lrange_100 >/dev/null
redis-cli -p 7000 eval 'return redis.call("get", "answer")' 0
redis-cli -p 7000 save
redis-cli -p 7000 shutdown
ls /tmp
