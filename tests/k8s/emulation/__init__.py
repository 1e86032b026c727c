"""A Kubernetes with KubeRay, of which only so much is there that a rendered RayService runs on one machine.

    kuberay      what the operator makes of a RayService: pods, a service, the call that deploys the application
    kubernetes   what the kubelet and DNS make of those: environments, volumes, addresses of services
    sandbox      what a container runtime does: a root of its own, a user without rights
    pod          a pod that runs: in a network, a process and a mount namespace of its own
    cluster      Redis, a head, workers, and a client, on one bridge
    walk         what has to hold: the main job, and what happens when a head or a worker is lost

`k8s/emulate DIRECTORY` is the way to call it by hand; docs/how-to/run-on-kubernetes.md tells of it.
"""
