#!/bin/sh
# One node with a control plane, each a service of systemd: start.sh DRIVER PROGRAMS PKI PAUSE-IMAGE
# No kube-proxy: the address of the service `kubernetes` is the node's own.
set -eu
driver=$1 programs=$2 pki=$3 pause=$4
service=10.96.0.1
for it in /modules/veth.ko*; do insmod "$it"; done
ip link set lo up
ip address add $service/32 dev lo
# No other machine is there. The node's address is one that is not loopback.
ip link add node type veth peer name other
ip address add 192.0.2.1/24 dev node
ip link set node up
ip link set other up
ip route add default dev node
echo 1 >/proc/sys/net/ipv4/ip_forward

mkdir -p /etc/cni/net.d /etc/containerd /etc/kubernetes/manifests /var/lib/kubelet /var/lib/etcd
cat >/etc/cni/net.d/10-pods.conflist <<END
{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "ptp", "ipam": {"type": "host-local",
 "ranges": [[{"subnet": "10.88.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
END
systemd_cgroup=$([ "$driver" = systemd ] && echo true || echo false)
cat >/etc/containerd/config.toml <<END
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$pause"
  disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = $systemd_cgroup
END
user() {
	cat >"/etc/kubernetes/$1.conf" <<END
apiVersion: v1
kind: Config
current-context: it
contexts: [{name: it, context: {cluster: it, user: it}}]
clusters: [{name: it, cluster: {server: "https://127.0.0.1:443", certificate-authority: $pki/ca.pem}}]
users: [{name: it, user: {token: $1-token}}]
END
}
for it in admin node controllers scheduler; do user $it; done
cat >/etc/kubernetes/tokens.csv <<END
admin-token,admin,1,system:masters
node-token,system:node:node,2,system:nodes
controllers-token,system:kube-controller-manager,3,system:masters
scheduler-token,system:kube-scheduler,4,system:masters
END
cat >/etc/kubernetes/audit.yaml <<END
apiVersion: audit.k8s.io/v1
kind: Policy
rules: [{level: Metadata, users: ["system:serviceaccount:oom-agent:oom-agent"]}, {level: None}]
END
cat >/etc/kubernetes/kubelet.yaml <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: $driver
staticPodPath: /etc/kubernetes/manifests
failSwapOn: false
makeIPTablesUtilChains: false
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
END
run() {
	name=$1
	shift
	# Whoever finds no API server yet may end: it is started again.
	systemd-run --quiet --unit="$name" --property=OOMScoreAdjust=-900 \
		--property=Restart=always --property=RestartSec=1 --property=StartLimitIntervalSec=0 "$@"
}
# Debian has a service called etcd.
run kube-etcd /usr/bin/etcd --data-dir /var/lib/etcd
run kube-apiserver "$programs/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
	--secure-port=443 --advertise-address=192.0.2.1 --service-cluster-ip-range=10.96.0.0/24 --allow-privileged=true \
	--tls-cert-file="$pki/server.pem" --tls-private-key-file="$pki/server.key" --client-ca-file="$pki/ca.pem" \
	--service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$pki/accounts.pub" \
	--service-account-signing-key-file="$pki/accounts.key" --api-audiences=https://kubernetes.default.svc \
	--token-auth-file=/etc/kubernetes/tokens.csv --authorization-mode=Node,RBAC \
	--enable-admission-plugins=NodeRestriction --endpoint-reconciler-type=none \
	--audit-policy-file=/etc/kubernetes/audit.yaml --audit-log-path=/var/log/audit.log
run kube-controller-manager "$programs/kube-controller-manager" --kubeconfig=/etc/kubernetes/controllers.conf \
	--root-ca-file="$pki/ca.pem" --service-account-private-key-file="$pki/accounts.key" \
	--use-service-account-credentials=false --leader-elect=false
run kube-scheduler "$programs/kube-scheduler" --kubeconfig=/etc/kubernetes/scheduler.conf --leader-elect=false
systemctl start containerd
run kubelet "$programs/kubelet" --config=/etc/kubernetes/kubelet.yaml --kubeconfig=/etc/kubernetes/node.conf \
	--hostname-override=node --node-ip=192.0.2.1 --container-runtime=remote \
	--container-runtime-endpoint=unix:///run/containerd/containerd.sock --root-dir=/var/lib/kubelet
