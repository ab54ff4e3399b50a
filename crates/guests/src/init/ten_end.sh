echo "PARTITION-UP"
export PS1='# '
while true; do setsid cttyhack sh; done
