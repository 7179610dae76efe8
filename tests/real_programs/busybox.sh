set -e
cd /tmp
busybox mkdir -p www
echo page >www/index.html
busybox httpd -p 127.0.0.1:8080 -h www
busybox wget -q -O - http://127.0.0.1:8080/
busybox tar -cf - www | busybox gzip | busybox zcat | busybox tar -tf -
busybox seq 100 | busybox sort -n | busybox awk '{ sum += $1 } END { print sum }'
