set -e
cd /tmp
keytool -genkeypair -alias a -keyalg RSA -keystore store -storepass secret1 -dname CN=a 2>/dev/null
keytool -list -keystore store -storepass secret1 2>/dev/null | grep -o PrivateKeyEntry
java -XX:+UseG1GC -version 2>&1 | grep -o 'OpenJDK 64-Bit Server VM'
