"""Prints the seconds of processor time that the official SDK takes for the signature of a body of 1,272 bytes: sign.py TIMES"""

import sys
import time

from tencentcloud.common.credential import Credential
from tencentcloud.common.http.request import RequestInternal
from tencentcloud.cvm.v20170312 import cvm_client

times = int(sys.argv[1])
credential = Credential("AKIDfakeForLoopbackTestsOnly0000001", "fakeSecretKeyLoopbackTestsOnly001")
client = cvm_client.CvmClient(credential, "ap-shanghai")
request = RequestInternal("cvm.tencentcloudapi.com", "POST", "/")
request.header["Content-Type"] = "application/json; charset=utf-8"
request.header["Host"] = "cvm.tencentcloudapi.com"
request.header["X-TC-Timestamp"] = "1767225600"
request.data = "x" * 1272

started = time.process_time()
for _ in range(times):
    client._get_tc3_signature({}, request, "2026-01-01", "cvm", credential.secret_key)
print((time.process_time() - started) / times)
